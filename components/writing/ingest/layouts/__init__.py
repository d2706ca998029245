"""Layouts of scored writing that are read without a mapping, and the one that needs one."""
