"""Is a window of live values another than the reference? Effect sizes with their errors; then k of the last n windows.

A window ends by how well it is known, not by a number of requests: when the standard error of its mean is small enough,
students' values counted as groups. So 100 requests of one student do not make a window, and 0.3 standard deviations are
found about as surely in any service.

Two effect sizes: the standardised difference of the means (Cohen 1988), which finds a shift; and the population
stability index over the reference's bins, less what chance alone gives it, which finds another shape.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import Any, Literal, Self

from components.monitoring.counts import SignalCounts
from components.monitoring.reference import SignalReference

NAMED_SHARE = 0.95
"""From this share of requests that name their student on, the groups alone tell the error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftLimits:
    """What is a drift. Raises ValueError for numbers that make no sense."""

    effect: float = 0.15
    """Standardised difference of the means that a window must show at least, in standard deviations."""
    index: float = 0.2
    """Population stability index that it must show instead, beyond chance."""
    alpha: float = 0.03
    """Chance of any false finding in one window of all signals; a false alarm needs `k` of them."""
    k: int = 2
    """Windows of a signal that must show the same, ..."""
    n: int = 3
    """... of its latest so many."""
    standard_error: float = 0.045
    """At which a window ends: of its mean, in standard deviations."""
    min_values: int = 200
    """Fewest values of a window."""
    per_student: float = 20.0
    """Values of one student in a window that are reckoned with where requests do not name their student."""

    def __post_init__(self) -> None:
        wrong = [one.name for one in fields(self) if not getattr(self, one.name) > 0]
        if self.alpha >= 0.5:
            wrong.append("alpha")
        if wrong or self.k > self.n or self.per_student < 1:
            raise ValueError(
                f"The limits of drift ({', '.join(wrong) or 'k, n or per_student'}) make no sense; expected numbers "
                "above 0, k up to n, per_student at least 1, alpha below 0.5."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What one window of one signal shows; plain figures."""

    signal: str
    values: int
    effect: float
    """(mean - reference mean) / standard deviation: the pooled one, and at least the reference's."""
    error: float
    """Standard error of `effect`; the reference's own is in it."""
    index: float
    """Population stability index, less what chance gives it on average; never below 0."""
    threshold: float
    """What `effect` had to exceed."""
    found: Literal["", "up", "down", "shape"]
    """`up` or `down`: the mean moved; `shape`: only the index is too large."""

    @property
    def smallest(self) -> float:
        """The smallest shift that a window like this one shows in 95 of 100 cases."""
        return self.threshold + 1.645 * self.error

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`'s value. Raises KeyError or TypeError for anything else."""
        return cls(**{one.name: value[one.name] for one in fields(cls)})


def design_effect(counts: SignalCounts, reference: SignalReference, limits: DriftLimits) -> float:
    """Return how many times larger the variance of the mean is than that of as many independent values; at least 1.

    Where students are not named, at least what `per_student` values, as alike as the reference's, would give.
    """
    count, sd, error = counts.count, counts.sd, counts.standard_error
    found = max(1.0, (error / sd) ** 2 * count) if sd > 0 and math.isfinite(error) else 1.0
    if counts.named < NAMED_SHARE * count:
        found = max(found, 1.0 + (limits.per_student - 1.0) * reference.alike)
    return found


def judged(
    name: str, counts: SignalCounts, reference: SignalReference, signals: int, limits: DriftLimits
) -> Window | None:
    """Return what a window shows, None while it is not known well enough.

    Args:
        name: of the signal.
        counts: of the window.
        reference: of the release.
        signals: how many are watched; each gets its share of `alpha`.
        limits: see there.
    """
    count = counts.count
    if count < limits.min_values or sum(1 for number in counts.numbers if number) < 2:
        return None
    deff = design_effect(counts, reference, limits)
    # Never less than the reference's: a window in which a rare thing did not happen would seem well known.
    scale = max(reference.sd, math.sqrt((counts.sd**2 + reference.sd**2) / 2))
    own = math.sqrt(deff / count) * max(counts.sd, reference.sd)
    if scale <= 0.0:  # two constants
        gap = counts.mean - reference.mean
        is_same = abs(gap) <= 1e-9
        found: Literal["", "up", "down", "shape"] = "" if is_same else "up" if gap > 0 else "down"
        effect = 0.0 if is_same else math.copysign(1e6, gap)
        return Window(signal=name, values=count, effect=effect, error=0.0, index=0.0, threshold=0.0, found=found)
    if own / scale > limits.standard_error:
        return None
    effect = (counts.mean - reference.mean) / scale
    error = math.hypot(own, reference.standard_error) / scale
    filled = sum(1 for number in counts.numbers if number)
    threshold = max(limits.effect, _t(limits.alpha / (2 * signals), filled - 1) * error)
    noise = deff / count + reference.design_effect / reference.values
    freedom = len(reference.counts) - 1
    raw = stability_index(counts.bins, reference.counts)
    index = max(0.0, raw - freedom * noise)
    if abs(effect) > threshold:
        found = "up" if effect > 0 else "down"
    elif freedom and index > limits.index and raw > _chi2(limits.alpha / signals, freedom) * noise:
        found = "shape"
    else:
        found = ""
    return Window(signal=name, values=count, effect=effect, error=error, index=index, threshold=threshold, found=found)


def stability_index(live: Sequence[int], reference: Sequence[int]) -> float:
    """Return the sum over bins of (p - q) ln(p / q); half a value is added to every bin, so that none is empty."""
    sizes = sum(live) + 0.5 * len(live), sum(reference) + 0.5 * len(reference)
    pairs = [((a + 0.5) / sizes[0], (b + 0.5) / sizes[1]) for a, b in zip(live, reference, strict=True)]
    return math.fsum((p - q) * math.log(p / q) for p, q in pairs)


def alarm(windows: Sequence[Window], limits: DriftLimits) -> bool:
    """Return whether the latest of a signal's windows, together with those before, are a drift."""
    if not windows or not windows[-1].found:
        return False
    return sum(one.found == windows[-1].found for one in windows[-limits.n :]) >= limits.k


@lru_cache
def _t(tail: float, freedom: int) -> float:
    from scipy.stats import t  # late: a release is made and served without it

    return float(t.isf(tail, freedom))


@lru_cache
def _chi2(tail: float, freedom: int) -> float:
    from scipy.stats import chi2

    return float(chi2.isf(tail, freedom))
