"""The report of a run: a page that explains itself, and the same as JSON. One module per section of the page."""
