"""How well a list of recommendations is ordered: NDCG@k and hit rate@k of each list, and their means by student.

One list is a row (a student at one moment): candidates with a score each, and what each turned out to be worth. Ties in
scores count as their average over all orders, so that a constant model gets what chance gets. NDCG is scikit-learn's
`ndcg_score` (gain as given, discount 1 / log2(rank + 1), ties by McSherry & Najork 2008).

Shapes: Q lists, C candidates at most, S students, R resamples.
"""

import numpy as np
import numpy.typing as npt

from components.errors import SchemaError
from components.evaluate.bootstrap import resampled_students
from components.evaluate.estimates import Estimate, estimate_of

Floats = npt.NDArray[np.float64]
NAMES = ("ndcg", "hit_rate")


def ranking_values(score: Floats, worth: Floats, k: int, there: npt.NDArray[np.bool_] | None = None) -> Floats:
    """Return (Q, 2) NDCG@k and hit rate@k of each list; NaN where nothing in the list is worth anything.

    Args:
        score: (Q, C) finite, the higher the earlier in the list.
        worth: (Q, C) at least 0; above 0 is a hit.
        k: how many of the list's first count.
        there: (Q, C) False for padding; None: all are candidates.

    Raises:
        SchemaError: shapes that differ, a value that is no number, worth below 0, or k below 1.
    """
    there = np.ones(score.shape, np.bool_) if there is None else there
    _check(score, worth, there, k)
    score, worth = np.where(there, score, -np.inf), np.where(there, worth, 0.0)
    order = np.argsort(-score, axis=1, kind="stable")
    score, worth = np.take_along_axis(score, order, axis=1), np.take_along_axis(worth, order, axis=1)
    there = np.take_along_axis(there, order, axis=1)
    ranks = np.arange(score.shape[1])
    discount = np.where(ranks < k, 1.0 / np.log2(ranks + 2.0), 0.0)
    ideal = (-np.sort(-worth, axis=1)) @ discount
    begins = np.ones(score.shape, np.bool_)
    begins[:, 1:] = score[:, 1:] != score[:, :-1]
    # Every block of ties: its mean worth at each of its ranks, and the chance that none of its hits is among the first.
    block = np.cumsum(begins, axis=1) - 1 + np.arange(len(score))[:, None] * score.shape[1]
    blocks = score.size

    def summed(values: npt.NDArray[np.floating] | npt.NDArray[np.bool_]) -> Floats:
        flat = np.asarray(values, np.float64).ravel()
        return np.asarray(np.bincount(block.ravel(), weights=flat, minlength=blocks), np.float64)

    size, hits = summed(there), summed(worth > 0.0)
    inside = summed(there & (ranks < k)[None, :])
    mean = np.divide(summed(worth), size, out=np.zeros(blocks), where=size > 0)
    gained = (mean[block] * there) @ discount
    missed = _none_drawn(size, hits, inside).reshape(score.shape)
    out = np.full((len(score), 2), np.nan)
    some = ideal > 0.0
    out[some, 0] = gained[some] / ideal[some]
    out[some, 1] = 1.0 - np.prod(missed[some], axis=1)
    return out


def ranking_estimates(
    values: Floats,
    student: npt.NDArray[np.integer],
    *,
    resamples: int,
    confidence: float,
    seed: int,
    min_students: int = 10,
) -> dict[str, Estimate]:
    """Return the mean over lists of each of `NAMES`, with an interval over students.

    Lists in which nothing is worth anything take no part. With fewer students than `min_students` it reads `too_few`.

    Args:
        values: (Q, 2) of `ranking_values`.
        student: (Q,) any whole numbers; equal ones are one student.
        resamples: R.
        confidence: of the intervals.
        seed: of the resamples.
        min_students: with a list that counts.
    """
    counted = np.isfinite(values[:, 0])
    return mean_estimates(
        dict(zip(NAMES, values[counted].T, strict=True)),
        np.ones(int(counted.sum())),
        student[counted],
        resamples=resamples,
        confidence=confidence,
        seed=seed,
        min_students=min_students,
    )


def mean_estimates(
    values: dict[str, Floats],
    size: Floats,
    student: npt.NDArray[np.integer],
    *,
    resamples: int,
    confidence: float,
    seed: int,
    min_students: int,
) -> dict[str, Estimate]:
    """Return name -> sum of values / sum of sizes over rows, with percentile intervals over whole students.

    Args:
        values: name -> (Q,).
        size: (Q,) what a row adds to the denominator.
        student: (Q,) any whole numbers; equal ones are one student.
        resamples: R.
        confidence: of the intervals.
        seed: of the resamples.
        min_students: fewer are `too_few`.
    """
    known, index = np.unique(student, return_inverse=True)
    if not len(known):
        return {name: Estimate(status="not_estimable") for name in values}
    bottom = np.bincount(index, weights=size)
    counts = np.stack(list(resampled_students(len(known), resamples, seed))).astype(np.float64)
    out = {}
    for name, column in values.items():
        top = np.bincount(index, weights=column)
        below = counts @ bottom
        drawn = np.divide(counts @ top, below, out=np.full(resamples, np.nan), where=below > 0)
        value = float(top.sum() / bottom.sum()) if bottom.sum() > 0 else float("nan")
        out[name] = estimate_of(
            value, drawn, enough=len(known) >= min_students, students=len(known), confidence=confidence
        )
    return out


def _none_drawn(size: Floats, hits: Floats, inside: Floats) -> Floats:
    """Return the chance that of `inside` candidates, drawn from `size` of which `hits` are hits, none is one."""
    from scipy.special import gammaln  # late: only rankings need it

    left = size - hits
    possible = left >= inside
    ways = gammaln(left + 1) - gammaln(np.where(possible, left - inside, 0) + 1)
    ways -= gammaln(size + 1) - gammaln(size - inside + 1)
    return np.asarray(np.where(possible, np.exp(ways), 0.0))


def _check(score: Floats, worth: Floats, there: npt.NDArray[np.bool_], k: int) -> None:
    if score.ndim != 2 or score.shape != worth.shape or score.shape != there.shape:
        raise SchemaError(
            f"score has shape {score.shape}, worth {worth.shape}, there {there.shape}; expected lists by candidates "
            "for all. Pad the shorter lists and say so in `there`."
        )
    if k < 1:
        raise SchemaError(f"k is {k}; expected at least 1, e.g. 10.")
    wrong = there & ~(np.isfinite(score) & np.isfinite(worth) & (worth >= 0.0))
    if wrong.any():
        raise SchemaError(
            f"{int(wrong.sum())} of {int(there.sum())} candidates have a score or worth that is no number, or a worth "
            "below 0. Leave such candidates out with `there`."
        )
