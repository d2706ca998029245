"""Simulate: logs of made-up students with known truth, in the layout `homeroom`."""
