"""What `components.testing` makes public, one subject per file."""
