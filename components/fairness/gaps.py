"""Differences between groups with intervals that hold for all that is judged at once.

The widest of many differences is wide by chance, and an interval of max - min from resampling never reaches 0. So every
pair gets an interval `difference +- t * se`:

- `se` is the root of the two groups' bootstrap variances, each times n / (n - 1) of its n students;
- `q` is the quantile, over resamples, of the largest |deviation| / se among all that is judged at once (Tukey's
  studentised range, with the bootstrap in place of normal theory; max-T of Westfall & Young 1993);
- `t` has the tail of Student's distribution that `q` has of the normal, with Welch's degrees of freedom of the pair:
  the bootstrap knows a group of ten students' spread no better than a t-test does.

What is judged at once is one measure of one attribute, or a whole `family`: every limited measure of every attribute of
a report. All of them are resampled by the same draws of the same students, so that the largest deviation among all is
known as they hang together, and two attributes that say the same cost nothing.

With `q * se` and no correction for n, one run in four told some two of 50 equal groups of ten students apart; so
corrected, one in fifty.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How much higher one group's value is than another's."""

    higher: int
    """Index of the group with the higher value."""
    lower: int
    value: float
    low: float
    """Lower end; at or below 0, the two groups were not told apart."""
    high: float

    @property
    def is_told_apart(self) -> bool:
        """Whether the interval lies above 0."""
        return self.low > 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """One group's value by itself: how far it is from 0, which all students together have, or its level."""

    group: int
    """Index of the group."""
    value: float
    low: float
    high: float

    @property
    def is_told_apart(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low > 0.0 or self.high < 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One measure in G groups and under B resamples of the same students."""

    groups: tuple[int, ...]
    """G indices by which the groups are named outside."""
    values: Floats
    """(G,)."""
    drawn: Floats
    """(B, G); NaN where a resample has none."""
    students: npt.NDArray[np.int64]
    """(G,) students in each group, at least 2."""

    @property
    def variance(self) -> Floats:
        """(G,) over resamples."""
        return np.asarray(np.nanvar(self.drawn - self.values, axis=0, ddof=1))

    @property
    def corrected(self) -> Floats:
        """(G,) the variance, each times n / (n - 1) of its n students."""
        return self.variance * self.students / (self.students - 1)

    def largest_of_pairs(self) -> Floats:
        """Return (B,) the largest |deviation| / se among all differences of two groups."""
        first, second = np.triu_indices(len(self.values), k=1)
        deviation, variance = self.drawn - self.values, self.variance
        return _largest(deviation[:, first] - deviation[:, second], np.sqrt(variance[first] + variance[second]))

    def largest_of_groups(self) -> Floats:
        """Return (B,) the largest |deviation| / se among the groups themselves."""
        return _largest(self.drawn - self.values, np.sqrt(self.variance))


def quantile_of(largest: Sequence[Floats], confidence: float) -> float:
    """Return the value that all the largest deviations keep below in `confidence` of the resamples.

    Args:
        largest: (B,) each, of the same resamples: of everything that is judged at once.
        confidence: chance, aimed at, that all intervals together hold the true values.
    """
    together = np.max(np.stack(largest), axis=0)
    return float(np.quantile(together[np.isfinite(together)], confidence))


def differences_of(sample: Sample, confidence: float, *, q: float | None = None) -> tuple[Difference, ...]:
    """Return the difference of every pair of groups, the widest first.

    Args:
        sample: of at least 2 groups.
        confidence: chance, aimed at, that all intervals together hold the true differences.
        q: from `quantile_of` a family that this sample's pairs belong to; None takes these pairs alone.
    """
    values, corrected = sample.values, sample.corrected
    first, second = np.triu_indices(len(values), k=1)
    total = corrected[first] + corrected[second]
    squares = corrected**2 / (sample.students - 1)
    freedom = np.ones_like(total)
    np.divide(total**2, squares[first] + squares[second], out=freedom, where=total > 0)
    if q is None:
        q = quantile_of([sample.largest_of_pairs()], confidence)
    found = []
    for i, j, half in zip(first.tolist(), second.tolist(), _margins(q, total, freedom).tolist(), strict=True):
        higher, lower = (i, j) if values[i] >= values[j] else (j, i)
        value = float(values[higher] - values[lower])
        found.append(
            Difference(
                higher=sample.groups[higher],
                lower=sample.groups[lower],
                value=value,
                low=value - half,
                high=value + half,
            )
        )
    return tuple(sorted(found, key=lambda d: -d.value))


def departures_of(sample: Sample, confidence: float, *, q: float | None = None) -> tuple[Departure, ...]:
    """Return each group's value with an interval, the farthest from 0 first; all hold at once. Arguments as above."""
    if q is None:
        q = quantile_of([sample.largest_of_groups()], confidence)
    margin = _margins(q, sample.corrected, np.asarray(sample.students - 1, np.float64))
    found = [
        Departure(group=g, value=value, low=value - half, high=value + half)
        for g, value, half in zip(sample.groups, sample.values.tolist(), margin.tolist(), strict=True)
    ]
    return tuple(sorted(found, key=lambda d: -abs(d.value)))


def _largest(deviation: Floats, spread: Floats) -> Floats:
    """Return (B,) the largest of (B, P) |deviation| / (P,) spread; -inf where a resample has no value at all."""
    scaled = np.zeros_like(deviation)
    np.divide(np.abs(deviation), spread, out=scaled, where=spread > 0)
    return np.asarray(np.where(np.isnan(scaled), -np.inf, scaled).max(axis=1))


def _margins(q: float, variance: Floats, freedom: Floats) -> Floats:
    """Return (P,) half widths: Student's distribution has beyond them what the normal has beyond `q`."""
    from scipy.special import ndtr, stdtrit  # late: only a run that compares groups needs it

    return np.asarray(-stdtrit(freedom, ndtr(-q)) * np.sqrt(variance))
