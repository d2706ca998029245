"""Forest plots: a row for each group with its value and interval; what has no number says so in words."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from flows.reporting.drawing.style import (
    FIRST,
    INK,
    LIMIT,
    LINE,
    PANEL,
    QUIET,
    SECOND,
    WIDTH,
    axes_at,
    canvas,
    fitted,
    svg_of,
    text_width,
)
from flows.reporting.estimates import Estimate
from flows.reporting.rows import Lines, Row

ROW, ROW_OF_TWO = 24.0, 32.0
"""Height of the rows; of all where a name takes two lines."""
THIN = 6.0
"""Most height of a row where there are too many to name each."""
MOST_NAMED = 30
MOST_LINES = 120
"""With more rows than this, their intervals become one band."""
TALLEST = 480.0
"""Height of all rows together where they are not named."""
LABELS = 128.0
"""Widest that names become."""
MARKERS = ("o", "D")


def forest(
    name: str,
    title: str,
    description: str,
    rows: Sequence[Row],
    *,
    series: Sequence[str] = (),
    lines: Lines = Lines(),  # noqa: B008  # frozen
    axis: str = "",
) -> str:
    """Return the plot as SVG; see `svg_of`.

    Args:
        name: see `svg_of`.
        title: see `svg_of`.
        description: see `svg_of`.
        rows: from top to bottom; all have as many estimates as there are series, one without.
        series: names of one or two series, shown in a legend.
        lines: what the rows are compared with.
        axis: what the axis measures.
    """
    named = len(rows) <= MOST_NAMED
    shown = list(rows) if named else sorted(rows, key=_place)
    labels = [fitted(row.name, LABELS) for row in shown] if named else [""] * len(shown)
    if named:
        pitch = ROW_OF_TWO if any("\n" in label for label in labels) else ROW
    else:
        pitch = min(THIN, TALLEST / len(shown))
    left = 10.0 + (
        max((text_width(line) for label in labels for line in label.split("\n")), default=0) if named else 14
    )
    above = 24.0 if len(series) > 1 else 8.0
    below = 40.0 if axis else 26.0
    inner = pitch * len(shown)
    with canvas(above + inner + below) as figure:
        axes = axes_at(figure, left, below, WIDTH - left - 14.0, inner)
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.spines["left"].set_visible(False)
        axes.set_yticks([])
        _scale(axes, shown, lines)
        _compare(axes, lines)
        many = max((len(row.found) for row in shown), default=1)
        if len(shown) > MOST_LINES:
            for which in range(many):
                _band(axes, [row.found[which] for row in shown], which)
            shown = []
        for at, (row, label) in enumerate(zip(shown, labels, strict=False)):
            if named:
                axes.text(-6.0 / (WIDTH - left - 14.0), at, label, ha="right", va="center", linespacing=1.0,
                          transform=axes.get_yaxis_transform(), color=INK)  # fmt: skip
                if at:
                    axes.axhline(at - 0.5, color=LINE, linewidth=0.5, alpha=0.5, zorder=0)
            for which, estimate in enumerate(row.found):
                shift = 0.0 if many == 1 else (-0.2 if which == 0 else 0.2)
                _mark(axes, at + shift, estimate, which, named=named, small=many > 1)
        if len(series) > 1:
            _legend(axes, series, inner)
        if axis:
            axes.set_xlabel(axis)
        return svg_of(figure, name, title, description)


def _place(row: Row) -> tuple[bool, float]:
    value = row.found[0].value
    return (value is None, -value if value is not None else 0.0)


def _scale(axes: Axes, rows: Sequence[Row], lines: Lines) -> None:
    """Show all intervals and what they are compared with; a tenth of the range is free at each side."""
    ends = [
        end for row in rows for found in row.found for end in (found.low, found.value, found.high) if end is not None
    ]
    ends += [*lines.limits]
    ends += [0.0] if lines.zero else []
    ends += [lines.overall] if lines.overall is not None else []
    if not ends:
        axes.set_xlim(0.0, 1.0)
        axes.set_xticks([])
        return
    low, high = min(ends), max(ends)
    room = max((high - low) * 0.08, 0.002)
    axes.set_xlim(low - room, high + room)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.6g}".replace("-", "\N{MINUS SIGN}"))


def _compare(axes: Axes, lines: Lines) -> None:
    if lines.zero:
        axes.axvline(0.0, color=QUIET, linewidth=1.0, zorder=1)
    if lines.overall is not None:
        axes.axvline(lines.overall, color=QUIET, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
    for limit in lines.limits:
        axes.axvline(limit, color=LIMIT, linewidth=1.5, linestyle=(0, (1, 2)), zorder=1)


def _mark(axes: Axes, at: float, found: Estimate, which: int, *, named: bool, small: bool) -> None:
    colour = (FIRST, SECOND)[which]
    if found.value is None:
        if named:
            axes.text(0.5, at, found.words, ha="center", va="center", color=QUIET, style="italic",
                      fontsize=9.5 if small else None, transform=axes.get_yaxis_transform(),
                      bbox={"facecolor": PANEL, "edgecolor": "none", "pad": 1.0})  # fmt: skip
        return
    if found.low is not None and found.high is not None:
        axes.plot([found.low, found.high], [at, at], color=colour, linewidth=2.0 if named else 1.5, zorder=2,
                  solid_capstyle="round")  # fmt: skip
    axes.plot([found.value], [at], MARKERS[which], color=colour, markersize=6.5 if named else 3.5, zorder=3,
              markeredgecolor=PANEL, markeredgewidth=1.0 if named else 0.5)  # fmt: skip


def _band(axes: Axes, found: Sequence[Estimate], which: int) -> None:
    """Draw the intervals of many rows as one band, and the values as a line in it."""
    colour = (FIRST, SECOND)[which]
    there = [(at, one, one.value) for at, one in enumerate(found) if one.value is not None]
    places, values = [at for at, _, _ in there], [value for _, _, value in there]
    low = [value if one.low is None else one.low for _, one, value in there]
    high = [value if one.high is None else one.high for _, one, value in there]
    axes.fill_betweenx(places, low, high, color=colour, alpha=0.25, linewidth=0, zorder=2)
    axes.plot(values, places, color=colour, linewidth=1.5, zorder=3,
              linestyle="none" if which else "solid", marker="." if which else "", markersize=3)  # fmt: skip


def _legend(axes: Axes, series: Sequence[str], inner: float) -> None:
    place, high = 0.0, 1.0 + 13.0 / inner
    width = float(axes.get_position().width) * WIDTH
    for which, name in enumerate(series):
        axes.plot([place + 0.02], [high], MARKERS[which], color=(FIRST, SECOND)[which], markersize=6.5,
                  transform=axes.transAxes, clip_on=False)  # fmt: skip
        axes.text(place + 0.02 + 9.0 / width, high, name, va="center", color=QUIET, transform=axes.transAxes)
        place += (text_width(name) + 28.0) / width
