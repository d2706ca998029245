"""Loaders, what they draw, and the way of a batch to the device."""
