"""Distributions of scores: how often humans and the model gave each score of a rubric."""

from collections.abc import Sequence

from matplotlib.patches import Rectangle

from flows.reporting.drawing.style import FIRST, INK, PANEL, SECOND, WIDTH, axes_at, canvas, svg_of

LEFT = 44.0
HEIGHT = 150.0
FEW = 16
"""Up to so many scores have bars; more have lines."""


def score_distribution(
    name: str, title: str, description: str, scores: Sequence[float], human: Sequence[float], model: Sequence[float]
) -> str:
    """Return the plot as SVG; see `svg_of`.

    Args:
        name: see `svg_of`.
        title: see `svg_of`.
        description: see `svg_of`.
        scores: of the rubric, rising.
        human: how often humans gave each.
        model: how often the model did.
    """
    with canvas(HEIGHT + 66.0) as figure:
        width = WIDTH - LEFT - 14.0
        axes = axes_at(figure, LEFT, 38.0, width, HEIGHT)
        of_human, of_model = _shares(human), _shares(model)
        places = range(len(scores))
        if len(scores) <= FEW:
            axes.bar([at - 0.2 for at in places], of_human, width=0.36, color=PANEL, edgecolor=SECOND, linewidth=1.5,
                     hatch="////")  # fmt: skip
            axes.bar([at + 0.2 for at in places], of_model, width=0.36, color=FIRST, edgecolor=FIRST, linewidth=1.5)
        else:
            edges = [at - 0.5 for at in range(len(scores) + 1)]
            axes.stairs(of_human, edges, color=SECOND, linewidth=1.5, linestyle=(0, (4, 2)))
            axes.stairs(of_model, edges, color=FIRST, linewidth=1.75)
        top = max([*of_human, *of_model, 0.01])
        axes.set_ylim(0.0, top * 1.05)
        axes.set_xlim(-0.6, len(scores) - 0.4)
        every = max(1, -(-len(scores) // 12))
        ticks = [at for at in places if at % every == 0]
        axes.set_xticks(ticks, [f"{scores[at]:g}" for at in ticks])
        axes.yaxis.set_major_formatter(lambda value, _: f"{value * 100:.3g} %")
        axes.locator_params(axis="y", nbins=4)
        axes.set_xlabel("score")
        for word, at, colour, hatch in (("humans", 0.0, SECOND, "////"), ("model", 0.34, FIRST, None)):
            height = 1.0 + 12.0 / HEIGHT
            face = FIRST if hatch is None else PANEL
            key = Rectangle((at, height - 4.5 / HEIGHT), 12.0 / width, 9.0 / HEIGHT, transform=axes.transAxes)
            key.set(facecolor=face, edgecolor=colour, linewidth=1.5, hatch=hatch, clip_on=False)
            axes.add_patch(key)
            axes.text(at + 18.0 / width, height, word, va="center", color=INK, transform=axes.transAxes)
        return svg_of(figure, name, title, description)


def _shares(counts: Sequence[float]) -> list[float]:
    total = sum(counts)
    return [count / total if total else 0.0 for count in counts]
