"""A model's figures without and with its post-processor: the same answers, the same resamples of the same students.

Shapes: N rows, G groups, R resamples.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.artifacts import JsonValue
from components.evaluate.bootstrap import interval_of
from components.evaluate.estimates import Drawn, Estimate, estimate_of, estimates_of, measured
from components.evaluate.measures import CLASSES
from components.evaluate.rows import ScoredRows
from components.evaluate.skills import estimate_json

MEASURES = (
    "auc", "log_loss", "brier", "calibration", "ece", "accuracy", "true_positive_rate", "false_positive_rate",
    "selection_rate",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Resampling:
    """How intervals are made."""

    resamples: int
    confidence: float
    seed: int
    min_rarer_class: int = 1
    """With fewer rows of a class that a measure needs, it reads `too_few`."""
    decimals: int


def before_and_after(
    before: ScoredRows,
    after_N: npt.NDArray[np.floating],
    group: npt.NDArray[np.integer],
    groups: int,
    how: Resampling,
    *,
    students: int | None = None,
) -> list[dict[str, JsonValue]]:
    """Return for each group `before`, `after` and `difference` (after - before): measure -> estimate.

    Args:
        before: the rows with the probabilities without the post-processor.
        after_N: the probabilities with it.
        group: (N,) index of each row's group, in [0, groups).
        groups: G.
        how: intervals are made.
        students: how many there are, where some have no row.
    """
    mapped = ScoredRows(student=before.student, label=before.label, probability=after_N, weight=before.weight)

    def drawn(rows: ScoredRows) -> Drawn:
        return measured(rows, group, groups, resamples=how.resamples, seed=how.seed, students=students)

    first, second = drawn(before), drawn(mapped)

    def table(found: Drawn) -> list[dict[str, Estimate]]:
        return estimates_of(found, confidence=how.confidence, min_rarer_class=how.min_rarer_class, measures=MEASURES)

    apart = [{name: _difference(first, second, name, g, how) for name in MEASURES} for g in range(groups)]
    return [
        {
            title: {name: estimate_json(estimate, how.decimals) for name, estimate in own.items()}
            for title, own in zip(("before", "after", "difference"), three, strict=True)
        }
        for three in zip(table(first), table(second), apart, strict=True)
    ]


def _difference(before: Drawn, after: Drawn, name: str, g: int, how: Resampling) -> Estimate:
    """Return after - before: percentiles of the paired differences.

    Chance pushes up a measure with `noise` (ECE), and more so the better it is: percentiles would favour what was worse
    before. The bounds on chance of both are added up in its place, which is wider.
    """
    value = float(after.value[name][g] - before.value[name][g])
    students = int(before.students[g])
    enough = bool(not CLASSES[name] or before.rarer[name][g] >= how.min_rarer_class)
    if name in before.noise and not np.isnan(value):
        noise = before.noise[name][:, g] + after.noise[name][:, g]
        half = interval_of(noise, confidence=2.0 * how.confidence - 1.0, clusters=students).high
        if half is None:
            return Estimate(status="not_estimable")
        return Estimate(status="ok", value=value, low=value - half, high=value + half)
    drawn = after.drawn[name][:, g] - before.drawn[name][:, g]
    return estimate_of(value, drawn, enough=enough, students=students, confidence=how.confidence)
