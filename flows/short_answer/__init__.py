"""Short answers: scored answers to questions in, a grading service out."""
