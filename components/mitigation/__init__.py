"""What can be done about gaps and wrong probabilities: weights of training rows, an affine map of the answers."""
