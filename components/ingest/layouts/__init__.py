"""Layouts of raw files, one module each."""
