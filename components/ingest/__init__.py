"""Ingest: raw files of any known layout -> student interactions in the one schema."""
