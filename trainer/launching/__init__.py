"""Where a run computes: its processes, how they start, and what the environment says of them."""
