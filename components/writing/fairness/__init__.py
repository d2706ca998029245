"""Agreement with human scores by group of students, and the gate on it."""
