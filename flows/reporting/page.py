"""The page: the sections in their order, rendered as one HTML file that needs nothing from elsewhere."""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from components.pages.markdown import html_of
from components.pages.style import STYLE
from flows.reporting.comparisons import comparisons_of
from flows.reporting.contents import Contents
from flows.reporting.data import data_of
from flows.reporting.estimates import shown
from flows.reporting.figures import Gallery
from flows.reporting.groups import abroca_sentence, attributes_of, probability
from flows.reporting.leakage import leakage_of
from flows.reporting.limits import limits_of
from flows.reporting.performance import performance_of
from flows.reporting.timing import times_of
from flows.reporting.verdict import verdict_of
from flows.reporting.words import SIGNED, capital, titled


def rendered(contents: Contents, gallery: Gallery) -> str:
    """Return the page.

    Args:
        contents: what it shows.
        gallery: draws its figures, or has them.
    """
    pages = Environment(
        loader=PackageLoader("flows", "templates"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters |= {"shown": shown, "titled": titled, "capital": capital, "p": probability, "sha": _sha}
    pages.globals |= {"abroca": abroca_sentence}
    parts: Mapping[str, Any] = {  # Any: a dataclass of each section
        "verdict": verdict_of(contents),
        "performance": performance_of(contents, gallery),
        "attributes": attributes_of(contents, gallery),
        "comparisons": comparisons_of(contents, gallery),
        "limits": limits_of(contents),
        "leakage": leakage_of(contents),
        "data": data_of(contents),
        "times": times_of(contents),
    }
    return pages.get_template("report.html").render(
        summary=contents.summary,
        metrics=contents.metrics,
        groups=contents.groups,
        contents=contents,
        signed=SIGNED,
        style=Markup(STYLE),
        card=Markup(html_of(contents.card, level=3)),
        problems=sorted(set(gallery.problems)),
        **parts,
    )


def _sha(digest: str) -> str:
    return digest[:12]
