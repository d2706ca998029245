"""HTML from the Markdown of cards: what cards hold comes out, and nothing in it becomes markup."""

from components.pages.card import card_page
from components.pages.markdown import html_of, title_of

CARD = """# Model card: grading

Opening *words* with `code_x` and **weight**.

## Limits

- one
  goes on
- two

| figure | value |
|---|---|
| qwk | 0.8 |
| smd | |

After the table.
"""


def test_headings_lists_tables_and_emphasis() -> None:
    html = html_of(CARD, level=2)
    assert "<h1>" not in html
    assert "<p>Opening <em>words</em> with <code>code_x</code> and <strong>weight</strong>.</p>" in html
    assert "<h2>Limits</h2>" in html
    assert "<ul><li>one goes on</li><li>two</li></ul>" in html
    assert '<thead><tr><th scope="col">figure</th><th scope="col">value</th></tr></thead>' in html
    assert '<tr><th scope="row">qwk</th><td>0.8</td></tr><tr><th scope="row">smd</th><td></td></tr>' in html
    assert html.endswith("<p>After the table.</p>")
    assert title_of(CARD) == "Model card: grading"


def test_headings_move_down_where_they_are_told_to() -> None:
    assert "<h3>Limits</h3>" in html_of(CARD, level=3)
    assert html_of("# A\n\n## B", level=1) == "<h1>A</h1>\n<h2>B</h2>"


def test_nothing_becomes_markup() -> None:
    hostile = (
        "# <b>x\n\n<script>alert(1)</script> & `<i>` **<u>**\n\n| <a href=x> |\n|---|\n| <img src=x onerror=y> |\n"
    )
    page = card_page(hostile, '"><script>')
    body = page.partition("<body>")[2]
    for tag in ("<script", "<b>", "<i>", "<u>", "<a ", "<img"):
        assert tag not in body
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; <code>&lt;i&gt;</code>" in body


def test_an_empty_card_is_an_empty_page() -> None:
    assert html_of("") == ""
    assert "<title>Model card</title>" in card_page("", "v1")
