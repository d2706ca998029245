"""What can be done about gaps between groups: weights of training rows by group."""
