"""The neural grader: a compact convolution over words, trained from scratch for all prompts at once."""
