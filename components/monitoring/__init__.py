"""Drift of what a release is asked and answers: its reference, plain counts of live values, and what they say."""
