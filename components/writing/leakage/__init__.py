"""Whether held-out writing was seen in training: the same student, response or text."""
