"""Plots: values stand where the axis says, areas are what they are called, the same data give the same bytes."""

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

import pytest

from flows.reporting import figures
from flows.reporting.drawing.forest import forest
from flows.reporting.drawing.reliability import reliability
from flows.reporting.drawing.roc import roc_pair
from flows.reporting.drawing.style import COLOURS, FONT, fitted, text_width
from flows.reporting.estimates import Estimate
from flows.reporting.figures import FILE, NOT_INSTALLED, Gallery, read_figures
from flows.reporting.page import rendered
from flows.reporting.rows import Lines, Row
from tests.flows.reporting.made_up import bare, contents, curves

SVG = "{http://www.w3.org/2000/svg}"


def parsed(svg: str) -> ElementTree.Element:
    """Return the SVG as a tree; it must be well-formed XML on its own, names of links aside."""
    return ElementTree.fromstring(
        svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" ', 1)
    )


def row(name: str, value: float | None, low: float | None = None, high: float | None = None) -> Row:
    return Row(name=name, found=(Estimate(value=value, low=low, high=high),))


def texts(svg: str) -> dict[str, float]:
    """Return text -> x."""
    found = [(text.text or "", float(text.get("x", "nan"))) for text in parsed(svg).iter(f"{SVG}text")]
    return dict(found)


def scale(svg: str) -> tuple[float, float]:
    """Return offset and slope: value = offset + slope * x, from the labels of the axis."""
    ticks = {x: float(text.replace("\N{MINUS SIGN}", "-")) for text, x in texts(svg).items() if _is_number(text)}
    (x0, v0), (x1, v1) = min(ticks.items()), max(ticks.items())
    slope = (v1 - v0) / (x1 - x0)
    return v0 - slope * x0, slope


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[\N{MINUS SIGN}-]?\d*\.?\d+", text) is not None


def horizontal(svg: str, colour: str) -> list[tuple[float, float]]:
    """Return the ends of the horizontal lines of a colour, from top to bottom."""
    found = []
    for path in parsed(svg).iter(f"{SVG}path"):
        parts = re.fullmatch(r"M ([\d.]+) ([\d.]+) L ([\d.]+) ([\d.]+) ?", path.get("d", ""))
        if parts and colour in path.get("style", "") and parts[2] == parts[4]:
            found.append((float(parts[2]), float(parts[1]), float(parts[3])))
    return [(x0, x1) for _, x0, x1 in sorted(found)]


def test_intervals_and_values_stand_where_the_axis_says() -> None:
    rows = [row("a", 0.70, 0.66, 0.75), row("b", -0.10, -0.2, 0.05), row("c", None)]
    svg = forest("f", "t", "d", rows)
    offset, slope = scale(svg)
    ends = [offset + slope * x for line in horizontal(svg, "--first") for x in line]
    assert ends == pytest.approx([0.66, 0.75, -0.2, 0.05], abs=2e-3)
    marks = [float(use.get("x", "nan")) for use in parsed(svg).iter(f"{SVG}use") if "--first" in use.get("style", "")]
    assert [offset + slope * x for x in marks] == pytest.approx([0.70, -0.10], abs=2e-3)
    assert "not estimable" in texts(svg)


def test_limits_and_all_together_have_lines_of_their_own() -> None:
    svg = forest("f", "t", "d", [row("a", 0.05, 0.0, 0.1)], lines=Lines(zero=True, limits=(-0.1, 0.1), overall=0.02))
    offset, slope = scale(svg)
    at: dict[str, list[float]] = {}
    for path in parsed(svg).iter(f"{SVG}path"):
        parts = re.fullmatch(r"M ([\d.]+) [\d.]+ L ([\d.]+) [\d.]+ ?", path.get("d", ""))
        style = path.get("style", "")
        if parts and parts[1] == parts[2] and ("--limit" in style or "--quiet" in style):
            kind = "limit" if "--limit" in style else "overall" if "dasharray" in style else "zero"
            at.setdefault(kind, []).append(round(offset + slope * float(parts[1]), 2))
    assert sorted(at["limit"]) == [-0.1, 0.1]
    assert at["overall"] == [0.02]
    assert at["zero"] == [0.0]


def test_the_shaded_area_is_abroca() -> None:
    """Of tpr = fpr ** 0.25 and fpr ** 0.5 it is 1 / 1.25 - 1 / 1.5."""
    grid = [(at / 400) ** 2 for at in range(401)]
    first, second = ([(x, x**power) for x in grid] for power in (0.25, 0.5))
    svg = roc_pair("r", "t", "d", first, second, ("a", "b"))
    [area] = [path.get("d", "") for path in parsed(svg).iter(f"{SVG}path") if "--shade" in path.get("style", "")]
    points = [(float(x), float(y)) for x, y in re.findall(r"([\d.]+) ([\d.]+)", area)]
    corners = [(float(x), float(y)) for x, y in points]
    wide, high = (max(c[i] for c in corners) - min(c[i] for c in corners) for i in (0, 1))
    shaded = abs(sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True))) / 2
    assert shaded / (wide * high) == pytest.approx(1 / 1.25 - 1 / 1.5, abs=1e-3)


def test_bins_of_too_few_are_left_out_and_a_hidden_share_is_marked() -> None:
    made = curves(0.0, 0.4)
    svg = reliability("c", "t", "d", made["reliability"], made["distribution"])
    marks = [
        path.get("d", "").split()
        for path in parsed(svg).iter(f"{SVG}path")
        if "fill: var(--first); stroke: var(--panel)" in path.get("style", "")
    ]
    assert len(marks) == 9
    # A circle begins above its centre; the axes are 278 wide and begin at 48.
    assert [float(mark[1]) for mark in marks] == pytest.approx(
        [48 + 278 * (at / 10 + 0.05) for at in range(1, 10)], abs=0.02
    )
    assert "?" in texts(svg)


def test_colours_and_fonts_are_the_pages() -> None:
    svg = forest("f", "A <title>", "d", [row("a", 0.5, 0.4, 0.6)], axis="AUC")
    assert not re.search(r"#[0-9a-fA-F]{6}", svg.replace('href="#', ""))
    assert "font-family" not in svg
    assert "<style" not in svg
    assert "A &lt;title&gt;</title>" in svg
    assert len(set(COLOURS)) == len(COLOURS)


def test_names_with_formulas_other_scripts_and_no_end_are_drawn() -> None:
    names = ["$x_1$ \\frac", "\N{CJK UNIFIED IDEOGRAPH-4E2D}\N{CJK UNIFIED IDEOGRAPH-6587}", "x" * 400, '<b> & "q"', ""]
    svg = forest("f", "t", "d", [row(name, 0.5, 0.4, 0.6) for name in names])
    shown = texts(svg)
    assert "$x_1$ \\frac" in shown
    assert "\N{CJK UNIFIED IDEOGRAPH-4E2D}\N{CJK UNIFIED IDEOGRAPH-6587}" in shown
    assert '<b> & "q"' in shown


@pytest.mark.parametrize("count", [1, 30, 31, 121, 600])
def test_any_number_of_rows_stays_of_a_size(count: int) -> None:
    rows = [row(f"skill {at}", 0.5 + at / 2000, 0.4, 0.6) for at in range(count)]
    svg = forest("f", "t", "d", rows)
    assert float(parsed(svg).get("height", "nan")) < 800
    assert len(svg) < 60_000


def test_rows_without_any_number_have_words_and_no_axis() -> None:
    svg = forest("f", "t", "d", [row("a", None), row("b", None)])
    assert [text for text in texts(svg) if _is_number(text)] == []
    assert "not estimable" in texts(svg)


def test_long_names_are_shortened_in_the_middle() -> None:
    name = "Bachelor of Arts (Honours) in Early Childhood and Primary Education, campus 7"
    short = fitted(name, 120.0)
    lines = short.split("\n")
    assert len(lines) == 2
    assert max(text_width(line, FONT) for line in lines) <= 120.0 + FONT
    assert short.startswith("Bachelor")
    assert short.endswith("7")
    assert fitted("short", 120.0) == "short"


def test_the_same_contents_give_the_same_bytes() -> None:
    one, other = Gallery(), Gallery()
    assert rendered(bare(), one) == rendered(bare(), other)
    assert one.used == other.used


def test_a_figure_that_was_drawn_before_is_not_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Gallery()
    page = rendered(bare(), first)
    (tmp_path / FILE).write_text(first.to_json())

    def drawing(name: str) -> None:
        raise AssertionError(f"{name} was drawn")

    monkeypatch.setattr(figures, "_drawing", drawing)
    again = Gallery(earlier=read_figures(tmp_path))
    assert rendered(bare(), again) == page
    assert again.problems == []
    changed = Gallery(earlier=first.used)
    rendered(contents(), changed)
    assert changed.problems, "what is new has to be drawn"


def test_a_plot_that_cannot_be_drawn_leaves_the_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ImportError("no matplotlib")

    monkeypatch.setattr(figures, "_drawing", absent)
    gallery = Gallery()
    page = rendered(bare(), gallery)
    assert NOT_INSTALLED in page
    assert "<svg" not in page
    assert "0.7134" in page

    def broken(name: str) -> None:
        raise ValueError("of student Anna")

    monkeypatch.setattr(figures, "_drawing", broken)
    page = rendered(bare(), Gallery())
    assert "This plot could not be drawn (ValueError)" in page
    assert "Anna" not in page


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', "{", '{"figures": {"a": 1}}', '{"figures": []}'])
def test_damaged_figures_are_none(text: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(text)
    assert read_figures(tmp_path) == {}
    assert read_figures(tmp_path / "absent") == {}


def test_every_figure_of_a_page_names_and_describes_itself() -> None:
    page = rendered(contents(), Gallery())
    plots: Sequence[str] = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(plots) > 20
    for plot in plots:
        tree = parsed(plot)
        assert tree.get("role") == "img"
        title, description = (tree.find(f"{SVG}{name}") for name in ("title", "desc"))
        assert title is not None
        assert title.text
        assert description is not None
        assert description.text
        assert tree.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
