"""Logs -> encoded windows: split by student, encode with the application's codec, lay out flat."""
