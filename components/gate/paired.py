"""Whether a new release is as good as the champion: both answer the same rows, students are resampled in pairs.

Two releases answer the same students, so that their difference is far better known than either figure. The new one is
non-inferior where the lower end of the one-sided interval of (new - champion) is above -margin, and clearly worse where
the upper end is below it. In between, `undecided` says what follows.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from components.evaluate.bootstrap import interval_of, resampled_students
from components.gate.decision import Finding, Outcome

Counts = npt.NDArray[np.int64]
Metric = Callable[[Counts], npt.NDArray[np.float64]]
"""(S,) how often each student was drawn -> (G,) the metric in each of G groups, NaN where it has none."""
Undecided = Literal["point", "warn", "stop"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One release on the held-out rows."""

    overall: Metric
    """Of one group: all rows."""
    by_group: Metric | None = None
    """Of the groups that are compared, the same for both releases; None where there are fewer than two."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedSettings:
    """How the two releases are compared."""

    margin: float
    """How much lower the new release's metric may be."""
    worst_group_margin: float
    """The same of the lowest metric of any group; 0 is no limit."""
    resamples: int = 500
    confidence: float = 0.95
    """Of the one-sided interval."""
    seed: int = 0
    undecided: Undecided = "point"


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """The difference of two releases (new - champion) in one metric, and under resamples."""

    new: float
    old: float
    drawn: npt.NDArray[np.float64] = field(repr=False)
    """(B,) NaN where a resample has none."""

    @property
    def value(self) -> float:
        """The difference."""
        return self.new - self.old


def compare(new: Scored, old: Scored, students: int, settings: PairedSettings) -> tuple[Paired, Paired | None]:
    """Return how two releases differ overall, and in the worst group of each (None without groups)."""
    metrics: list[tuple[Metric, Metric]] = [(new.overall, old.overall)]
    if new.by_group is not None and old.by_group is not None:
        metrics.append((new.by_group, old.by_group))

    def lowest(counts: Counts) -> npt.NDArray[np.float64]:
        """Return (M, 2) the lowest of each metric's groups, of the new release and the old one."""
        return np.array([[_least(metric(counts)) for metric in pair] for pair in metrics])

    whole = lowest(np.ones(students, np.int64))
    drawn = np.array([lowest(c) for c in resampled_students(students, settings.resamples, settings.seed)])
    found = [
        Paired(new=float(whole[m, 0]), old=float(whole[m, 1]), drawn=drawn[:, m, 0] - drawn[:, m, 1])
        for m in range(len(metrics))
    ]
    return found[0], found[1] if len(found) > 1 else None


def _least(values: npt.NDArray[np.float64]) -> float:
    """Return the least number, NaN where there is none."""
    there = values[~np.isnan(values)]
    return float(there.min()) if len(there) else float("nan")


def judge_difference(
    found: Paired, settings: PairedSettings, *, measure: str, subject: str, margin: float, students: int
) -> Finding:
    """Return the finding on one difference.

    Args:
        found: the difference; without a number for either release nothing is shown, and it stops.
        settings: how it was resampled, and what follows where it is undecided.
        measure: the metric; larger is better.
        subject: `all` or `worst group`.
        margin: how much lower the new release may be, at least 0.
        students: whom both answered for.
    """
    which = measure if subject == "all" else f"{measure} of the {subject}"

    def finding(outcome: Outcome, reason: str, value: float | None, ends: tuple[float | None, float | None]) -> Finding:
        return Finding(
            check="non_inferiority",
            subject=subject,
            measure=measure,
            value=value,
            low=ends[0],
            high=ends[1],
            limit=-margin,
            n=students,
            outcome=outcome,
            reason=reason,
        )

    if np.isnan(found.new) or np.isnan(found.old):
        who = "the candidate" if np.isnan(found.new) else "the champion"
        return finding("stop", f"{who} has no {which}, so that nothing can be compared", None, (None, None))
    # One-sided on either side: each end has 1 - confidence beyond it.
    interval = interval_of(found.drawn, confidence=2.0 * settings.confidence - 1.0, clusters=students)
    low, high = interval.low, interval.high
    text = f"{which} {found.new:.4f} against the champion's {found.old:.4f}, tolerance {margin:g}"
    if low is None or high is None:
        text += " (too few students for an interval)"
    else:
        text += (
            f" (difference {found.value:+.4f}, one-sided {settings.confidence * 100:g}% ends {low:+.4f} and "
            f"{high:+.4f}, students resampled in pairs)"
        )
    outcome: Outcome
    if low is not None and low > -margin:
        return finding("pass", f"not worse: {text}", found.value, (low, high))
    if high is not None and high < -margin:
        return finding("stop", f"worse: {text}", found.value, (low, high))
    if settings.undecided == "point":
        is_kept = found.value >= -margin
        outcome = "warn" if is_kept else "stop"
        said = "not worse" if is_kept else "worse"
        return finding(outcome, f"{said}, but not for sure: {text}", found.value, (low, high))
    return finding(settings.undecided, f"it is not shown to be no worse: {text}", found.value, (low, high))
