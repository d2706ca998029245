"""Upkeep of a store: which runs are alive, what killed ones left, and what nothing needs any more."""
