"""Scored writing -> arrays: split by student, fit the codec on the training texts, encode."""
