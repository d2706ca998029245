"""The commands of `homeroom`, one file each; loaded when called (`flows/__main__.py`)."""
