"""Checkpoints as folders: each process writes its shards, and a manifest says what belongs to it, byte by byte."""
