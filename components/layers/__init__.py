"""Network layers that applications share."""
