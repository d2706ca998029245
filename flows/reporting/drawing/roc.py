"""The two ROC curves of a pair of groups; the area between them is ABROCA (Gardner, Brooks & Baker 2019)."""

from collections.abc import Sequence

from flows.reporting.drawing.style import (
    FIRST,
    INK,
    LINE,
    SECOND,
    SHADE,
    WIDTH,
    axes_at,
    canvas,
    fitted,
    svg_of,
)

Points = Sequence[Sequence[float]]
SIDE = 236.0


def roc_pair(name: str, title: str, description: str, first: Points, second: Points, names: tuple[str, str]) -> str:
    """Return the plot as SVG; see `svg_of`.

    Args:
        name: see `svg_of`.
        title: see `svg_of`.
        description: see `svg_of`.
        first: (false positive rate, true positive rate) from (0, 0) to (1, 1).
        second: the same of the other group.
        names: of the two groups.
    """
    legend = [fitted(one, WIDTH - 70.0, lines=1) for one in names]
    with canvas(SIDE + 78.0) as figure:
        axes = axes_at(figure, 48.0, 38.0, SIDE + 40.0, SIDE)
        x, y = ([point[i] for point in first] for i in (0, 1))
        u, v = ([point[i] for point in second] for i in (0, 1))
        axes.fill([*x, *reversed(u)], [*y, *reversed(v)], color=SHADE, linewidth=0, zorder=1)
        axes.plot([0.0, 1.0], [0.0, 1.0], color=LINE, linewidth=1.0, linestyle=(0, (4, 3)), zorder=0)
        axes.plot(x, y, color=FIRST, linewidth=2.0, zorder=3)
        axes.plot(u, v, color=SECOND, linewidth=2.0, linestyle=(0, (5, 2)), zorder=3)
        axes.set_xlim(0.0, 1.0)
        axes.set_ylim(0.0, 1.0)
        ticks = [0.0, 0.25, 0.5, 0.75, 1.0]
        axes.set_xticks(ticks, ["0", ".25", ".5", ".75", "1"])
        axes.set_yticks(ticks, ["0", ".25", ".5", ".75", "1"])
        axes.set_xlabel("false positive rate")
        axes.set_ylabel("true positive rate")
        for at, (label, colour, dash) in enumerate(zip(legend, (FIRST, SECOND), ("solid", (0, (5, 2))), strict=True)):
            height = 1.0 + (26.0 - 15.0 * at) / SIDE
            axes.plot([0.0, 0.08], [height, height], color=colour, linewidth=2.0, linestyle=dash, clip_on=False,
                      transform=axes.transAxes)  # fmt: skip
            axes.text(0.1, height, label, va="center", color=INK, transform=axes.transAxes)
        return svg_of(figure, name, title, description)
