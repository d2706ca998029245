"""Figures of the page: drawn when first asked for, taken from an earlier report where that drew the same.

Each figure has a key: the digest of what is drawn, of the code that draws and of matplotlib's version. `figures.json`
beside a report holds its figures by key, and the digest of the code that made its page. A run in which little changed
finds most of them there; one in which nothing changed takes the whole page, and matplotlib, which takes half a second
to import, stays where it is.
"""

import hashlib
import importlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

FILE = "figures.json"
DRAWING = "flows.reporting.drawing"
NOT_INSTALLED = (
    "The plots were left out: matplotlib is not installed (`pip install matplotlib`). The tables have all numbers."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One plot on the page."""

    name: str
    """Of the element, unique on the page."""
    title: str
    caption: str = ""
    """Beside the title, for everybody."""
    svg: str = ""
    problem: str = ""
    """Why there is no plot, where there is none."""


@dataclass(slots=True)
class Gallery:
    """Makes the figures of one page, and keeps them for the next."""

    earlier: Mapping[str, str] = field(default_factory=dict)
    """Key -> SVG, as an earlier report has them."""
    used: dict[str, str] = field(default_factory=dict)
    """The same, of this page."""
    problems: list[str] = field(default_factory=list)
    """Kinds of the errors that kept plots from being drawn."""

    def figure(
        self, drawing: str, title: str, description: str, /, *arguments: Any, caption: str = "", **more: Any
    ) -> Figure:  # Any: each drawing has its own arguments
        """Return a figure; where it cannot be drawn, with the reason in its place. A run never ends for a plot.

        Args:
            drawing: `module:function` below `flows.reporting.drawing`.
            title: what the plot is called.
            description: what it shows, for who cannot see it.
            arguments: values whose `repr` says all that they are.
            caption: stands beside the title.
            more: as `arguments`.
        """
        what = repr((drawing, title, description, arguments, sorted(more.items()), _code(), _library()))
        key = hashlib.sha256(what.encode()).hexdigest()[:24]
        name = f"fig-{key[:12]}"
        svg = self.used.get(key) or self.earlier.get(key)
        problem = ""
        if svg is None:
            try:
                svg = _drawing(drawing)(name, title, description, *arguments, **more)
            except ImportError:
                svg, problem = "", NOT_INSTALLED
            except Exception as error:  # whatever a plotting library does not like; the tables have the numbers
                svg, problem = "", f"This plot could not be drawn ({type(error).__name__}); the table has its numbers."
            if problem:
                self.problems.append(problem)
        if svg:
            self.used[key] = svg
        return Figure(name=name, title=title, caption=caption, svg=svg, problem=problem)

    def to_json(self) -> str:
        """Return the contents of `figures.json`."""
        return json.dumps({"page": page_code(), "figures": self.used})


def read_figures(folder: Path) -> dict[str, str]:
    """Return the figures of the report in `folder`, by key; none where it has none, or not whole."""
    try:
        found = json.loads((folder / FILE).read_text(encoding="utf-8"))["figures"]
    except (OSError, ValueError, TypeError, KeyError):
        return {}
    whole = isinstance(found, dict) and all(isinstance(svg, str) for svg in found.values())
    return found if whole else {}


@cache
def page_code() -> str:
    """Return the digest of all that makes a page of contents: code, templates and style."""
    here = Path(__file__).parent
    pages = here.parents[1] / "components" / "pages"
    return _digest([*here.rglob("*.py"), *(here.parent / "templates").rglob("*.html"), *pages.glob("*.py")])


def _drawing(name: str) -> Callable[..., str]:
    module, _, function = name.partition(":")
    found: Callable[..., str] = getattr(importlib.import_module(f"{DRAWING}.{module}"), function)
    return found


@cache
def _code() -> str:
    """Return the digest of the code that draws."""
    return _digest((Path(__file__).parent / "drawing").glob("*.py"))


def _digest(files: Iterable[Path]) -> str:
    state = hashlib.sha256()
    for path in sorted(files):
        state.update(path.name.encode() + b"\0" + path.read_bytes())
    return state.hexdigest()


@cache
def _library() -> str:
    try:
        return version("matplotlib")
    except PackageNotFoundError:
        return ""
