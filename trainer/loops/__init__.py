"""Training, validation, test and prediction: the loops, what a step is, and what surrounds a run."""
