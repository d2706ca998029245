"""Percentile bootstrap over whole students: intervals for metrics of rows that belong together.

A student's answers are not independent, so students are drawn, with replacement, and each takes all rows along (the
cluster bootstrap; Davison & Hinkley 1997, section 3.8). Drawing a student k times is weighting the rows by k: what
depends on the order of the probabilities is sorted once, and a resample is a few passes over the rows. scikit-learn
would sort anew for each resample, which is why the weighted AUC is written here.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.evaluate.metrics import NAMES, Floats, is_right, losses_of

Counts = npt.NDArray[np.int64]

MAX_UNDEFINED = 0.1
"""Where a larger share of resamples has no value (one class only), the interval is not estimable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """The ends of an interval, or None for both where it is not estimable."""

    low: float | None
    high: float | None
    undefined: int
    """Resamples that had no value and were dropped."""


def resampled_students(students: int, resamples: int, seed: int) -> Iterator[Counts]:
    """Yield, `resamples` times, how often each of `students` students was drawn: (S,) int64 that sums to S."""
    source = np.random.default_rng(seed)
    for _ in range(resamples):
        yield np.bincount(source.integers(students, size=students), minlength=students)


class GroupedAuc:
    """AUC within each group of rows under any multiplicity of the students. Ties count one half (Fawcett 2006, alg. 1).

    Args:
        right: (N,) bool, the class of each row.
        probability: (N,) finite.
        student: (N,) student index, below the length of the counts given later.
        group: (N,) index of the row's group, in [0, groups); None puts all rows into one.
        groups: how many groups.
        weight: (N,) above 0; None: every row counts once.
    """

    def __init__(
        self,
        right: npt.NDArray[np.bool_],
        probability: Floats,
        student: npt.NDArray[np.integer],
        group: npt.NDArray[np.integer] | None = None,
        groups: int = 1,
        *,
        weight: Floats | None = None,
    ) -> None:
        values, rank = np.unique(probability, return_inverse=True)
        key = rank.astype(np.int64)
        if group is not None:
            key += group.astype(np.int64) * len(values)
        order = np.argsort(key, kind="stable")
        key, right, student = key[order], right[order], student[order]
        negatives, positives = key[~right], key[right]
        self._negative_student, self._positive_student = student[~right], student[right]
        self._weights = None
        if weight is not None:
            ordered = weight.astype(np.float64)[order]
            self._weights = ordered[~right], ordered[right]
        # A positive row beats the negatives before `low` and ties with those from `low` to `high`.
        self._low = np.searchsorted(negatives, positives, "left")
        self._high = np.searchsorted(negatives, positives, "right")
        self._has_ties = bool((self._low != self._high).any())
        edges = np.arange(groups + 1, dtype=np.int64) * len(values)
        self._negative_edges = np.searchsorted(negatives, edges)
        self._positive_edges = np.searchsorted(positives, edges)

    def __call__(self, counts: Counts) -> npt.NDArray[np.float64]:
        """Return (groups,) AUC with each student's rows counted `counts[student]` times; NaN where a class is missing.

        Without weights, whole numbers up to the last division: the result does not depend on the order of the sum.
        """
        lost: Counts | Floats = counts[self._negative_student]
        weight: Counts | Floats = counts[self._positive_student]
        if self._weights is not None:
            lost, weight = lost * self._weights[0], weight * self._weights[1]
        below = _running_sum(lost)
        beaten = below[self._low]
        twice = beaten + below[self._high] if self._has_ties else beaten * 2
        positives = np.diff(_running_sum(weight)[self._positive_edges])
        start = below[self._negative_edges]
        negatives = np.diff(start)
        wins_twice = np.diff(_running_sum(weight * twice)[self._positive_edges]) - 2 * start[:-1] * positives
        pairs = positives.astype(np.float64) * negatives
        out = np.full(len(pairs), np.nan)
        np.divide(wins_twice, 2.0 * pairs, out=out, where=pairs > 0)
        return out


def student_sums(rows: npt.NDArray[np.float64], student: npt.NDArray[np.integer], students: int) -> Floats:
    """Return (S, M): the sum of each student's rows of (N, M)."""
    columns = [np.bincount(student, weights=rows[:, m], minlength=students) for m in range(rows.shape[1])]
    return np.stack(columns, axis=1)


def drawn_metrics(
    label: Floats, probability: Floats, student: npt.NDArray[np.integer], *, resamples: int, seed: int
) -> npt.NDArray[np.float64]:
    """Return (R, M) each metric of `NAMES` in each of R resamples; NaN is an AUC without one of the classes.

    The draws depend on the students and the seed alone: two sets of predictions of the same rows are drawn in pairs.

    Args:
        label: (N,) in [0, 1].
        probability: (N,) in [0, 1].
        student: (N,) any whole numbers; equal ones are one student. Students without a row take no part.
        resamples: how many.
        seed: of the draws.
    """
    known, index = np.unique(student, return_inverse=True)
    auc = GroupedAuc(is_right(label), probability, index)
    sums = student_sums(np.hstack([losses_of(label, probability), np.ones((len(label), 1))]), index, len(known))
    drawn = np.empty((resamples, len(NAMES)))
    for row, counts in enumerate(resampled_students(len(known), resamples, seed)):
        total = counts @ sums
        drawn[row] = [*auc(counts), *(total[:-1] / total[-1])]
    return drawn


def intervals_of(
    drawn: npt.NDArray[np.float64], *, confidence: float, clusters: int, shares: Collection[str] = ()
) -> dict[str, Interval]:
    """Return name -> interval for the columns of `drawn_metrics`, or of differences of two; see `interval_of`.

    `shares` names those that are shares: none of the differences.
    """
    return {
        name: interval_of(drawn[:, m], confidence=confidence, clusters=clusters, is_share=name in shares)
        for m, name in enumerate(NAMES)
    }


def interval_of(
    drawn: npt.NDArray[np.float64], *, confidence: float, clusters: int, is_share: bool = False
) -> Interval:
    """Return the percentile interval of resampled values; NaN is a resample without a value.

    Where a share (`is_share`) is 0 or 1 in every resample, percentiles have no width, as if nothing else could be. Then
    its open end is the exact one of Clopper & Pearson (1934) for an event that none of n students showed: 1 less
    tail^(1/n), at 95 % about 3.7 / n. Students, as a student's rows are not independent.

    Not estimable with fewer than two students (`clusters`), or if over `MAX_UNDEFINED` of the values are missing.
    """
    defined = drawn[~np.isnan(drawn)]
    undefined = len(drawn) - len(defined)
    if clusters < 2 or undefined > MAX_UNDEFINED * len(drawn):
        return Interval(low=None, high=None, undefined=undefined)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(defined, [tail, 1.0 - tail])
    if is_share and low == high and low in (0.0, 1.0):
        possible = 1.0 - tail ** (1.0 / clusters)
        low, high = (0.0, possible) if high == 0.0 else (1.0 - possible, 1.0)
    return Interval(low=float(low), high=float(high), undefined=undefined)


def _running_sum(values: Counts | Floats) -> Counts:
    """Return (N + 1,) sums of the first 0, 1, ... N values, in their own type (typed as whole numbers)."""
    out = np.zeros(len(values) + 1, values.dtype)
    np.cumsum(values, out=out[1:])
    return out  # type: ignore[return-value]  # fractions only where rows have weights
