"""A model card as a page of its own: one file that loads nothing from elsewhere."""

from html import escape

from components.pages.markdown import html_of, title_of
from components.pages.style import STYLE

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def card_page(markdown: str, release: str) -> str:
    """Return the page.

    Args:
        markdown: the card.
        release: what it is the card of, e.g. the application's name and the digest of the model.
    """
    title = escape(title_of(markdown) or "Model card")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<style>{STYLE}</style>
</head>
<body>
<header><h1>{title}</h1><p>{escape(release)}</p></header>
<main><section>
{html_of(markdown, level=2)}
</section></main>
</body>
</html>
"""
