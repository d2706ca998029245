"""Curves of predicted probabilities: ROC, reliability, distribution; as arrays, and as a report writes them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.artifacts import JsonValue
from components.evaluate.bootstrap import Counts
from components.evaluate.calibration import BINS, reliability_of
from components.evaluate.metrics import Floats, is_right
from components.evaluate.suppression import shown_parts

MAX_POINTS = 200
"""Of a ROC curve in a report."""
DECIMALS = 3
"""More would let rows be worked out from totals."""


@dataclass(frozen=True, slots=True)
class Roc:
    """A ROC curve: straight lines between points from (0, 0) to (1, 1), both never falling (Fawcett 2006)."""

    false_positive: npt.NDArray[np.float64]
    """(K,)."""
    true_positive: npt.NDArray[np.float64]
    """(K,)."""


class RocRows:
    """The ROC curve of some rows under any multiplicity of the students; ties are a slanted line (Fawcett 2006).

    Rows are sorted once. Points on a straight line are left out where that is so for every multiplicity: the curve
    stays exact.

    Args:
        right: (N,) bool, the class of each row.
        probability: (N,) finite.
        student: (N,) student index, below the length of the counts given later.
    """

    def __init__(self, right: npt.NDArray[np.bool_], probability: Floats, student: npt.NDArray[np.integer]) -> None:
        order = np.argsort(-probability.astype(np.float64), kind="stable")
        right, score = right[order], probability[order]
        self._positive, self._negative = student[order][right], student[order][~right]
        ends = np.flatnonzero(np.append(score[1:] != score[:-1], True)) if len(score) else np.zeros(0, np.intp)
        positives = np.cumsum(right)[ends]
        negatives = ends + 1 - positives
        # 0: only negatives at this probability (a step to the right), 1: only positives (a step up), 2: both.
        up, along = np.diff(positives, prepend=0) > 0, np.diff(negatives, prepend=0) > 0
        kind = np.where(up & along, 2, up)
        kept = np.append((kind[1:] != kind[:-1]) | (kind[1:] == 2), True) if len(ends) else np.zeros(0, np.bool_)
        self._positives, self._negatives = positives[kept], negatives[kept]

    def __call__(self, counts: Counts) -> Roc | None:
        """Return the curve with each student's rows counted `counts[student]` times; None where a class is missing."""
        up = np.cumsum(counts[self._positive])
        along = np.cumsum(counts[self._negative])
        if not len(up) or not len(along) or not up[-1] or not along[-1]:
            return None
        return Roc(_share(along, self._negatives), _share(up, self._positives))


def roc_of(right: npt.NDArray[np.bool_], probability: Floats) -> Roc | None:
    """Return the ROC curve of (N,) rows; None where a class is missing."""
    return RocRows(right, probability, np.zeros(len(right), np.int64))(np.ones(1, np.int64))


def thinned(roc: Roc, points: int = MAX_POINTS) -> Roc:
    """Return the curve with at most so many of its points, both ends among them."""
    if len(roc.false_positive) <= points:
        return roc
    # Evenly along the way that the curve goes, so that no part of it is left without points.
    way = roc.false_positive + roc.true_positive
    at = np.unique(np.searchsorted(way, np.linspace(0.0, 2.0, points)).clip(max=len(way) - 1))
    at[0], at[-1] = 0, len(way) - 1
    return Roc(roc.false_positive[at], roc.true_positive[at])


def curves_json(
    label: Floats,
    probability: Floats,
    student: npt.NDArray[np.integer],
    *,
    min_rows: int,
    min_students: int,
    has_roc: bool = True,
) -> dict[str, JsonValue]:
    """Return `roc`, `reliability` and `distribution` as a report writes them.

    Bins with too few rows or students show nothing, nor do so many others that the total over the bins does not give
    these back (`components/evaluate/suppression.py`).

    Args:
        label: (N,) in [0, 1].
        probability: (N,) in [0, 1].
        student: (N,) any whole numbers; equal ones are one student.
        min_rows: what a bin must have.
        min_students: what a bin must have.
        has_roc: whether there are enough rows of both classes for a ROC curve.
    """
    curve = roc_of(is_right(label), probability) if has_roc else None
    found = reliability_of(label, probability, student)
    shown = shown_parts(found.rows, found.students, min_rows=min_rows, min_students=min_students)
    bins: list[JsonValue] = []
    for b in range(BINS):
        ends: dict[str, JsonValue] = {"low": b / BINS, "high": (b + 1) / BINS}
        if shown[b]:
            ends |= {
                "n": int(found.rows[b]),
                "mean_probability": round(float(found.mean_probability[b]), DECIMALS),
                "mean_label": round(float(found.mean_label[b]), DECIMALS),
            }
        else:
            ends["status"] = "too_few"
        bins.append(ends)
    total = max(1, int(found.rows.sum()))
    shares: list[JsonValue] = [round(int(found.rows[b]) / total, DECIMALS) if shown[b] else None for b in range(BINS)]
    roc: dict[str, JsonValue] = {}
    if curve is not None:
        few = thinned(curve)
        points = zip(few.false_positive.tolist(), few.true_positive.tolist(), strict=True)
        roc["roc"] = [[round(x, DECIMALS), round(y, DECIMALS)] for x, y in points]
    return {**roc, "reliability": bins, "distribution": shares}


def distribution_json(
    values: Floats, student: npt.NDArray[np.integer], *, min_rows: int, min_students: int
) -> list[JsonValue]:
    """Return the share of (N,) values in each tenth of [0, 1]; None where it is hidden, as in `curves_json`."""
    found = reliability_of(values, values, student)
    shown = shown_parts(found.rows, found.students, min_rows=min_rows, min_students=min_students)
    total = max(1, int(found.rows.sum()))
    return [round(int(found.rows[b]) / total, DECIMALS) if shown[b] else None for b in range(BINS)]


def _share(running: npt.NDArray[np.integer], upto: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Return 0 and, for each point, the share of the total that the first `upto` rows have."""
    sums = np.append(np.zeros(1, running.dtype), running)
    return np.append(0.0, sums[upto] / running[-1])
