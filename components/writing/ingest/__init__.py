"""Ingest of scored writing: raw files of any known layout -> responses with scores, and prompts, in one schema."""
