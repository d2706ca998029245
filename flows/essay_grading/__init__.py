"""Essay grading: scored essays in, a grading service out."""
