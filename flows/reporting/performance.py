"""How good the model is: its headline metric beside baselines and humans, by prompt or skill, and its scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flows.reporting.contents import Contents, Plain
from flows.reporting.estimates import Estimate, estimate_with, number
from flows.reporting.figures import Figure, Gallery
from flows.reporting.rows import Lines, Row
from flows.reporting.words import titled

MOST_DISTRIBUTIONS = 8
"""So many prompts have their scores drawn, those with most responses; the tables have all."""
PARTS = (("prompts", "prompt"), ("skills", "skill"))
"""Lists in `metrics.json` of figures by part, and what names the part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """The figures of the section; its tables are the templates' of the kind of data."""

    against: tuple[Figure, ...]
    """The headline metric, and its paired differences."""
    parts: tuple[Figure, ...]
    """By prompt or skill."""
    calibration: Figure | None
    distributions: tuple[Figure, ...]
    not_drawn: int
    """Prompts with scores that are not drawn."""


def performance_of(contents: Contents, gallery: Gallery) -> Performance:
    """Return the section's figures, as far as `metrics.json` has what they show."""
    distributions, not_drawn = _distributions(contents.metrics, gallery)
    return Performance(
        against=_against(contents, gallery),
        parts=tuple(_parts(contents, gallery)),
        calibration=overall_calibration(contents, gallery),
        distributions=distributions,
        not_drawn=not_drawn,
    )


def _against(contents: Contents, gallery: Gallery) -> tuple[Figure, ...]:
    metrics, headline = contents.metrics, contents.headline
    word = titled(headline)
    rows = [Row(name="this model", found=(_figure(metrics, headline),))]
    humans = metrics.get("humans")
    if humans:
        rows.append(Row(name="two raters", found=(_figure(humans, headline),)))
    baselines: Mapping[str, Plain] = metrics.get("baselines", {})
    rows += [Row(name=name.replace("_", " "), found=(_figure(found, headline),)) for name, found in baselines.items()]
    own = number(metrics.get("metrics", {}).get(headline))
    first = gallery.figure(
        "forest:forest",
        f"{word} beside baselines{' and humans' if humans else ''}",
        f"{word} of the model and of each baseline on the same held-out students, with intervals.",
        tuple(rows),
        lines=Lines(overall=own),
        axis=word,
        caption="Dashed: this model.",
    )
    paired = [
        Row(name=f"less {name.replace('_', ' ')}", found=(estimate_with(found.get("value"), found.get("interval")),))
        for name, baseline in baselines.items()
        if (found := baseline.get("differences", {}).get(headline))
    ]
    if not paired:
        return (first,)
    second = gallery.figure(
        "forest:forest",
        f"{word}: the model less each baseline",
        f"Paired differences of {word} on the same students, with intervals; above 0 the model is better.",
        tuple(paired),
        lines=Lines(zero=True),
        axis=f"difference of {word}",
        caption="Right of 0 the model is better. The pairs share their students: these intervals, not the overlap of "
        "those beside, say whether the two can be told apart.",
    )
    return first, second


def _parts(contents: Contents, gallery: Gallery) -> list[Figure]:
    metrics, headline = contents.metrics, contents.headline
    word, found = titled(headline), []
    for key, name in PARTS:
        parts: Sequence[Plain] = metrics.get(key) or []
        if not parts:
            continue
        beside = any(part.get("humans") for part in parts)
        rows = tuple(
            Row(
                name=str(part.get(name, "")),
                found=(_part(part, headline), _figure(part.get("humans") or {}, headline))
                if beside
                else (_part(part, headline),),
            )
            for part in parts
        )
        found.append(
            gallery.figure(
                "forest:forest",
                f"{word} by {name}",
                f"{word} of {len(rows)} {key} with intervals{', two raters beside the model' if beside else ''}.",
                rows,
                series=("model", "two raters") if beside else (),
                lines=Lines(overall=number(metrics.get("metrics", {}).get(headline))),
                axis=word,
                caption="Dashed: the mean over all."
                + (" Sorted by value; the table has the names." if len(rows) > 30 else ""),
            )
        )
    return found


def _part(part: Plain, headline: str) -> Estimate:
    return Estimate(words="too few") if part.get("status") == "too_few" else _figure(part, headline)


def _figure(found: Plain, metric: str) -> Estimate:
    return estimate_with(found.get("metrics", {}).get(metric), found.get("intervals", {}).get(metric))


def overall_calibration(contents: Contents, gallery: Gallery) -> Figure | None:
    """Return the reliability curve over all students; None where the evaluation has none."""
    curves: Mapping[str, Any] = contents.metrics.get("curves") or {}
    bins = curves.get("reliability")
    if not bins:
        return None
    ece = number(contents.metrics.get("metrics", {}).get("ece", contents.metrics.get("ece")))
    return gallery.figure(
        "reliability:reliability",
        "Reliability, all students",
        "Share of right answers by the probability that the model gave, and how often it gave each tenth.",
        plain_bins(bins),
        tuple(curves["distribution"]) if curves.get("distribution") else None,
        caption="On the dashed line a probability means what it says. "
        + (f"ECE {ece:.3f}." if ece is not None else ""),
    )


def plain_bins(bins: Sequence[Plain]) -> tuple[dict[str, float | None], ...]:
    """Return the bins with what is drawn of them."""
    return tuple({name: number(one.get(name)) for name in ("n", "mean_probability", "mean_label")} for one in bins)


def _distributions(metrics: Plain, gallery: Gallery) -> tuple[tuple[Figure, ...], int]:
    there = [p for p in metrics.get("prompts") or [] if p.get("distribution") and p.get("counts", {}).get("scored")]
    most = sorted(there, key=lambda prompt: -prompt["counts"]["scored"])[:MOST_DISTRIBUTIONS]
    figures = tuple(
        gallery.figure(
            "bars:score_distribution",
            f"Scores of prompt {prompt['prompt']}",
            f"How often humans and the model gave each score to the {prompt['counts']['scored']} scored responses.",
            tuple(prompt["distribution"]["scores"]),
            tuple(prompt["distribution"]["human"]),
            tuple(prompt["distribution"]["model"]),
            caption=f"{prompt['counts']['scored']:,} responses.",
        )
        for prompt in there
        if prompt in most
    )
    return figures, len(there) - len(figures)
