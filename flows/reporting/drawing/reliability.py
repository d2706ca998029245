"""Reliability: mean label by mean probability in bins, above how often each tenth of the probability was given."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes

from flows.reporting.drawing.style import (
    FIRST,
    LINE,
    PANEL,
    QUIET,
    SHADE,
    WIDTH,
    axes_at,
    canvas,
    svg_of,
)

Bins = Sequence[Mapping[str, Any]]  # Any: parsed JSON
SIDE = 190.0
BARS = 56.0
LEFT = 48.0


def reliability(
    name: str,
    title: str,
    description: str,
    bins: Bins,
    shares: Sequence[float | None] | None,
    *,
    beside: Bins = (),
    beside_shares: Sequence[float | None] | None = None,
) -> str:
    """Return the plot as SVG; see `svg_of`.

    Args:
        name: see `svg_of`.
        title: see `svg_of`.
        description: see `svg_of`.
        bins: with `mean_probability`, `mean_label` and `n`, or a `status` in place of these.
        shares: of the rows, by tenth of the probability; None where one is not shown.
        beside: bins of all students together, thin behind those of a group.
        beside_shares: the same of the shares.
    """
    bars = BARS if shares else 0.0
    with canvas(SIDE + bars + 56.0) as figure:
        width = WIDTH - LEFT - 14.0
        axes = axes_at(figure, LEFT, 38.0 + bars + (10.0 if bars else 0.0), width, SIDE)
        axes.plot([0.0, 1.0], [0.0, 1.0], color=LINE, linewidth=1.0, linestyle=(0, (4, 3)), zorder=0)
        _curve(axes, beside, behind=True)
        _curve(axes, bins, behind=False)
        axes.set_xlim(0.0, 1.0)
        axes.set_ylim(0.0, 1.0)
        ticks, words = [0.0, 0.25, 0.5, 0.75, 1.0], ["0", ".25", ".5", ".75", "1"]
        axes.set_yticks(ticks, words)
        axes.set_ylabel("share right")
        lowest = axes
        if shares:
            axes.set_xticks(ticks, [])
            lowest = axes_at(figure, LEFT, 38.0, width, bars)
            _bars(lowest, shares, beside_shares)
            lowest.set_xlim(0.0, 1.0)
            lowest.set_ylabel("share", labelpad=3.0)
        lowest.set_xticks(ticks, words)
        lowest.set_xlabel("probability given")
        return svg_of(figure, name, title, description)


def _curve(axes: Axes, bins: Bins, *, behind: bool) -> None:
    there = [one for one in bins if one.get("mean_probability") is not None and one.get("mean_label") is not None]
    if not there:
        return
    x = [one["mean_probability"] for one in there]
    y = [one["mean_label"] for one in there]
    if behind:
        axes.plot(x, y, color=QUIET, linewidth=1.0, alpha=0.7, zorder=1)
        return
    axes.plot(x, y, color=FIRST, linewidth=1.75, zorder=2)
    most = max(float(one.get("n") or 0) for one in there) or 1.0
    sizes = [14.0 + 50.0 * float(one.get("n") or 0) / most for one in there]
    axes.scatter(x, y, s=sizes, color=FIRST, edgecolor=PANEL, linewidth=1.0, zorder=3, clip_on=False)


def _bars(axes: Axes, shares: Sequence[float | None], beside: Sequence[float | None] | None) -> None:
    step = 1.0 / len(shares)
    places = [(at + 0.5) * step for at in range(len(shares))]
    axes.bar(places, [share or 0.0 for share in shares], width=step * 0.86, color=SHADE, edgecolor=FIRST, linewidth=1.0)
    known = [share for share in (*shares, *(beside or ())) if share is not None]
    top = max(known, default=1.0) or 1.0
    if beside:
        edges = [at * step for at in range(len(beside) + 1)]
        axes.stairs([share or 0.0 for share in beside], edges, color=QUIET, linewidth=1.0, alpha=0.7)
    for place, share in zip(places, shares, strict=True):
        if share is None:
            axes.text(place, top * 0.05, "?", ha="center", va="bottom", color=QUIET)
    axes.set_ylim(0.0, top * 1.08)
    axes.set_yticks([0.0, round(top, 2)], ["0", f"{top:.2g}".removeprefix("0")])
