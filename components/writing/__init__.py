"""Scored writing: essays and short answers with human scores, from raw files to a grading service."""
