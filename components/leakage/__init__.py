"""Whether held-out data were seen in training: the same student, the same text, time turned round, shown answers."""
