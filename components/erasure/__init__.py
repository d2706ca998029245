"""Erasure of a student: what of a store holds their data, its deletion for good, and the proof by a search of bytes."""
