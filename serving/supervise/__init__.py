"""Watching a server's workers from outside: canaries that advance or are withdrawn, and rollback by limits."""
