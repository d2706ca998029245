"""Optimizers, schedulers, clipping, and steps of the user."""
