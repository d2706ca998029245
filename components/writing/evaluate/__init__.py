"""Evaluation of scored writing: agreement with human scores by prompt, beside humans and baselines, with limits."""
