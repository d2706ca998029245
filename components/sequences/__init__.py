"""Reading sequence datasets: mapped arrays, and batches of windows of like length."""
