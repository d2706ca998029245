"""How much of a grader's errors the groups explain: OSA, OSD and CSD, with F tests.

Loukina, Madnani & Zechner (2019), "The many dimensions of algorithmic fairness in educational applications". With the
error e = prediction - human score, in standard deviations of the prompt's human scores:

- overall score accuracy, OSA: adjusted R2 of e^2 by group;
- overall score difference, OSD: adjusted R2 of e by group;
- conditional score difference, CSD: what the groups add to the adjusted R2 of e by human score (each score of each
  prompt a class of its own).

The tests take responses as independent. Where students have several, p is too small.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

MEANINGS = {
    "osa": "overall score accuracy: share of the variance of squared errors that the groups explain (adjusted R2)",
    "osd": "overall score difference: share of the variance of errors that the groups explain (adjusted R2)",
    "csd": "conditional score difference: what the groups add where the human score is known (adjusted R2)",
}
LEAST_FREEDOM = 10
"""With fewer degrees of freedom left, nothing is estimated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """One share of variance. None for both numbers where it cannot be estimated."""

    r2: float | None = None
    """Adjusted, so that it may be below 0."""
    p: float | None = None
    """Of the F test that groups explain nothing."""


def explained_by(group: Indices, error: Floats, known: Indices) -> dict[str, Explained]:
    """Return `osa`, `osd` and `csd`.

    Args:
        group: (N,) index of the group.
        error: (N,) prediction - human score.
        known: (N,) index of the class of prompt and human score.
    """
    alone = np.zeros(len(group), np.int64)
    return {
        "osa": _added(error**2, alone, group),
        "osd": _added(error, alone, group),
        "csd": _added(error, known, group),
    }


def _added(values: Floats, given: Indices, group: Indices) -> Explained:
    """Return what `group` adds to the adjusted R2 of `values` by `given`, and the p of the nested F test."""
    from scipy.stats import f  # late: takes a while

    _, given = np.unique(given, return_inverse=True)
    names, group = np.unique(group, return_inverse=True)
    n, classes = len(values), int(given.max(initial=-1)) + 1
    if len(names) < 2:
        return Explained()
    # Frisch, Waugh & Lovell: regress what the classes leave of the values on what they leave of the groups.
    left = _within(values, given, classes)
    dummies = np.stack([_within((group == g).astype(np.float64), given, classes) for g in range(1, len(names))], axis=1)
    slopes, _, rank, _ = np.linalg.lstsq(dummies, left, rcond=1e-10)
    total = float(((values - values.mean()) ** 2).sum())
    before = float((left**2).sum())
    after = float(((left - dummies @ slopes) ** 2).sum())
    freedom = n - classes - int(rank)
    if rank == 0 or freedom < LEAST_FREEDOM or not total > 1e-12 * float((values**2).sum()):
        return Explained()
    gain = (before / (n - classes) - after / freedom) / (total / (n - 1))
    if not after > 1e-12 * total:
        return Explained(r2=gain, p=0.0 if before > 1e-12 * total else None)
    test = ((before - after) / rank) / (after / freedom)
    return Explained(r2=gain, p=float(f.sf(test, rank, freedom)))


def _within(values: Floats, given: Indices, classes: int) -> Floats:
    """Return each value less the mean of its class."""
    mean = np.bincount(given, weights=values, minlength=classes) / np.bincount(given, minlength=classes)
    return np.asarray(values - mean[given])
