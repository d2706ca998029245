"""The Trainer's arguments, sorted into groups, checked, and read again under Lightning's names."""
