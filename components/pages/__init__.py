"""What pages for people have in common: their style, and HTML from the Markdown of model cards."""
