"""The kernel grader: n-grams and surface features, ridge regression, no pre-trained weights."""
