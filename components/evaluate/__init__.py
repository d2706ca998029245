"""Evaluation on held-out students: predictions, metrics with intervals, baselines to compare with, and limits."""
