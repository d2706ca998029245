"""Knowledge tracing: the probability that a student answers the next item correctly."""
