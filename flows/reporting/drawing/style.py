"""A canvas for a plot, and its SVG: text stays text, colours are the page's, and the same data give the same bytes.

matplotlib writes colours as hex codes. Each role of a colour here has a code of its own that nothing else uses; in the
SVG it is replaced by a variable of the page's style sheet, which has a value for light, dark and paper.

Lengths are units of the SVG: one is a CSS pixel at the plot's natural width.
"""

import io
import re
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH = 340.0
"""Natural width of a plot: two fit a sheet of paper, one a phone."""
FONT = 11.0
INK, QUIET, LINE, PANEL = "#010203", "#040506", "#070809", "#0a0b0c"
FIRST, SECOND, SHADE, LIMIT = "#0d0e0f", "#101112", "#131415", "#161718"
COLOURS = {
    INK: "var(--ink)",
    QUIET: "var(--quiet)",
    LINE: "var(--line)",
    PANEL: "var(--panel)",
    FIRST: "var(--first)",
    SECOND: "var(--second)",
    SHADE: "var(--shade)",
    LIMIT: "var(--limit)",
}
SETTINGS: dict[str, Any] = {  # Any: matplotlib's settings have many types
    "svg.fonttype": "none",
    "font.family": ["DejaVu Sans"],  # comes with matplotlib: text is measured alike everywhere
    "font.size": FONT,
    "text.color": INK,
    "text.parse_math": False,  # a name may hold a dollar sign
    "axes.edgecolor": LINE,
    "axes.labelcolor": QUIET,
    "axes.labelsize": FONT,
    "axes.labelpad": 3.0,
    "axes.linewidth": 1.0,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": QUIET,
    "ytick.labelcolor": QUIET,
    "xtick.labelsize": FONT,
    "ytick.labelsize": FONT,
}


@contextmanager
def canvas(height: float, *, width: float = WIDTH) -> Iterator[Figure]:
    """Give an empty figure of `width` x `height` units; draw on it, and take `svg_of` inside the block."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a user's own settings do not reach the report
        matplotlib.rcParams.update(SETTINGS)
        yield Figure(figsize=(width / 72.0, height / 72.0), dpi=72, facecolor="none")


def axes_at(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Return axes at a place in units, measured from the lower left corner."""
    wide, high = (float(inches) * 72.0 for inches in figure.get_size_inches())
    axes: Axes = figure.add_axes((left / wide, bottom / high, width / wide, height / high))
    return axes


def svg_of(figure: Figure, name: str, title: str, description: str) -> str:
    """Return the figure as an `svg` element to be put into a page.

    Args:
        figure: made by `canvas`.
        name: unique on the page; every id in the SVG starts with it.
        title: what a screen reader calls it.
        description: what it shows, in a sentence or two.
    """
    out = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with matplotlib.rc_context({"svg.hashsalt": name}), warnings.catch_warnings():
        # The browser's fonts have the glyphs that matplotlib's own lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(out, format="svg", transparent=True, metadata=nothing)
    return _for_page(out.getvalue(), name, title, description)


def _for_page(svg: str, name: str, title: str, description: str) -> str:
    head, _, body = svg[svg.index("<svg") :].partition(">")
    body = body[: body.rindex("</svg>")]
    # Its style sheet would style the whole page; `.plot svg` of the page's own says the same.
    for pattern in (r"<metadata>.*?</metadata>", r"<style[^>]*>.*?</style>", r"<!--.*?-->"):
        body = re.sub(pattern, "", body, flags=re.DOTALL)
    asked_for = set(re.findall(r'(?:href="#|url\(#)([^")]+)', body))
    body = re.sub(r' id="([^"]+)"', lambda m: f' id="{name}-{m[1]}"' if m[1] in asked_for else "", body)
    body = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", body)
    body = re.sub(r" font-family: [^;\"]*;", "", body)  # the page's own
    body = re.sub(r' transform="rotate\(-?0 [^"]*\)"', "", body)
    for code, variable in COLOURS.items():
        body = body.replace(code, variable)
    # A hundredth of a pixel is enough; numbers in texts stay as they are.
    body = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\d\.\d\d)\d+", r"\1", tag[0]), body)
    body = re.sub(r"\s*\n\s*", " ", body).replace("> <", "><").replace("<defs></defs>", "").strip()
    view = re.search(r'viewBox="0 0 ([0-9.]+) ([0-9.]+)"', head)
    wide, high = (float(one) for one in view.groups()) if view else (WIDTH, WIDTH)
    return (
        f'<svg viewBox="0 0 {wide:g} {high:g}" width="{wide:g}" height="{high:g}" role="img" '
        f'aria-labelledby="{name}-title {name}-desc"><title id="{name}-title">{escape(title)}</title>'
        f'<desc id="{name}-desc">{escape(description)}</desc>{body}</svg>'
    )


def text_width(text: str, size: float = FONT) -> float:
    """Return about how wide a text is, in units; more than it takes in most fonts."""
    wide = sum(1.0 if unicodedata.east_asian_width(letter) in "WF" else 0.6 for letter in text)
    return wide * size


def fitted(text: str, most: float, *, lines: int = 2) -> str:
    """Return a name in at most `lines` lines of at most `most` units, the middle left out of one that is longer."""
    if text_width(text) <= most:
        return text
    found: list[str] = []
    rest = text
    while rest and len(found) < lines - 1:
        head = _head(rest, most)
        gap = head.rfind(" ")
        if gap > len(head) // 3 and len(head) < len(rest):
            head = head[:gap]
        found.append(head.rstrip())
        rest = rest[len(head) :].lstrip()
    if text_width(rest) > most:
        tail = _head(rest[::-1], most / 2.5)[::-1]
        rest = f"{_head(rest, most - text_width(tail) - text_width('…'))}…{tail}"
    return "\n".join([*found, rest] if rest else found)


def _head(text: str, most: float) -> str:
    """Return the longest beginning of at most `most` units; at least one letter."""
    end = len(text)
    while end > 1 and text_width(text[:end]) > most:
        end -= 1
    return text[:end]
