"""Metrics by group of students, the gaps between groups, and the gate on them."""
