"""ABROCA: the area between two groups' ROC curves, exact, with a randomisation test by student.

Gardner, Brooks & Baker (2019): the integral over the false positive rate of |ROC_a - ROC_b|. Between two neighbouring
points of either curve both are straight lines, so the area is summed piece by piece, crossings and ties included; the
usual interpolation at 10,000 points is off by up to 1e-5.

Chance only pushes it up: it is skewed, and larger the fewer rows there are of the rarer class, so there is no limit
that fits all sizes (Borchers & Baker 2024, 2025). What tells is the test: group labels are dealt anew among the two
groups' students, each taking all rows along, and p is how often that makes an area at least as large.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from components.evaluate.bootstrap import Counts
from components.evaluate.curves import Roc, RocRows

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Abroca:
    """The area between two groups' curves. The numbers are None unless `status` is `ok`."""

    status: Literal["ok", "too_few", "not_estimable"]
    value: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    """Of the randomisation test that group and prediction have nothing to do with one another."""
    p_holm: float | None = None
    """The same, over all pairs of the attribute's groups together (Holm 1979); None until it is known of all."""
    resamples: int = 0
    """Randomisations: p is at least 1 / (resamples + 1)."""


def area_between(first: Roc, second: Roc) -> float:
    """Return the exact integral over [0, 1] of |first - second|."""
    a_x, a_y, a_slope = _segments(first)
    b_x, b_y, b_slope = _segments(second)
    every = np.concatenate([a_x, b_x])
    order = np.argsort(every, kind="stable")  # merges two sorted runs
    grid = every[order]
    is_first = order < len(a_x)
    # Which segment of each curve lies right of each point of the grid.
    a = np.minimum(np.cumsum(is_first) - 1, len(a_slope) - 1)[:-1]
    b = np.clip(np.cumsum(~is_first) - 1, 0, len(b_slope) - 1)[:-1]
    left, right = grid[:-1], grid[1:]
    slope = a_slope[a] - b_slope[b]
    base = a_y[a] - b_y[b] - a_slope[a] * a_x[a] + b_slope[b] * b_x[b]
    begin, end = base + slope * left, base + slope * right
    both = np.abs(begin) + np.abs(end)
    # Two triangles where the curves cross, else a trapezium.
    crossing = begin * end < 0.0
    height = np.where(crossing, np.divide(begin**2 + end**2, both, out=np.zeros_like(both), where=both > 0), both)
    return float(0.5 * ((right - left) * height).sum())


def abroca_of(
    first: RocRows,
    second: RocRows,
    drawn: Floats,
    together: RocRows,
    in_first: npt.NDArray[np.bool_],
    *,
    confidence: float,
    resamples: int,
    seed: int,
) -> Abroca:
    """Return the area, its interval and the p of the randomisation test.

    The interval is the basic bootstrap's (Davison & Hinkley 1997, eq. 2.10) below and the percentile one above, so that
    it holds the value; where the test cannot tell the area from chance, it begins at 0.

    Args:
        first: rows of one group, their students numbered among those of both groups.
        second: rows of the other.
        drawn: (R,) the areas of bootstrap resamples, NaN where a group lacked a class.
        together: rows of both.
        in_first: (S,) which of the students of both are in the first group.
        confidence: of the interval.
        resamples: randomisations.
        seed: of the randomisations.
    """
    everyone = np.ones(len(in_first), np.int64)
    a, b = first(everyone), second(everyone)
    defined = drawn[~np.isnan(drawn)]
    if a is None or b is None or len(defined) < 0.9 * len(drawn) or min(in_first.sum(), (~in_first).sum()) < 2:
        return Abroca(status="not_estimable")
    value = area_between(a, b)
    p = randomisation_p(value, together, in_first, resamples=resamples, seed=seed)
    tail = (1.0 - confidence) / 2.0
    highest = float(np.quantile(defined, 1.0 - tail))
    low = max(0.0, 2.0 * value - highest) if p <= 1.0 - confidence + 1e-9 else 0.0
    return Abroca(status="ok", value=value, low=min(low, value), high=max(highest, value), p=p, resamples=resamples)


def randomisation_p(
    value: float, together: RocRows, in_first: npt.NDArray[np.bool_], *, resamples: int, seed: int
) -> float:
    """Return the share of randomisations, the observed one among them, with an area of at least `value`.

    One that leaves a group without a class has no area and counts as one of at least `value`: the test errs on the side
    of not telling groups apart.
    """
    source = np.random.default_rng(seed)
    mask = in_first.astype(np.int64)
    as_large = 1
    for _ in range(resamples):
        dealt = source.permutation(mask)
        a, b = together(dealt), together(1 - dealt)
        as_large += a is None or b is None or area_between(a, b) >= value - 1e-12
    return as_large / (resamples + 1)


def corrected(areas: Sequence[Abroca], confidence: float) -> list[Abroca]:
    """Return the areas of all pairs with p corrected for how many there are, by Holm's step-down method.

    Where it then cannot tell an area from chance, the interval begins at 0.
    """
    tested = sorted((its.p, at) for at, its in enumerate(areas) if its.p is not None)
    out, largest = list(areas), 0.0
    for rank, (p, at) in enumerate(tested):
        largest = max(largest, min(1.0, p * (len(tested) - rank)))
        low = areas[at].low if largest <= 1.0 - confidence + 1e-9 else 0.0
        out[at] = replace(areas[at], p_holm=largest, low=low)
    return out


def areas_drawn(curves: dict[int, list[Roc | None]], first: int, second: int) -> Floats:
    """Return (R,) the areas between two groups' curves in each resample, NaN where one has none."""
    return np.array(
        [
            np.nan if a is None or b is None else area_between(a, b)
            for a, b in zip(curves[first], curves[second], strict=True)
        ]
    )


def curves_drawn(rows: RocRows, counts: list[Counts]) -> list[Roc | None]:
    """Return the ROC curve of some rows in each resample of the students."""
    return [rows(one) for one in counts]


def _segments(roc: Roc) -> tuple[Floats, Floats, Floats]:
    """Return where the straight parts begin (and the last ends), their height there, and their slopes."""
    x, y = roc.false_positive, roc.true_positive
    starts = np.flatnonzero(np.append(True, x[1:] > x[:-1]))
    ends = np.append(starts[1:], len(x)) - 1
    across = x[starts]
    slope = (y[starts[1:]] - y[ends[:-1]]) / np.diff(across)
    return across, y[ends[:-1]], slope
