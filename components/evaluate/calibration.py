"""Calibration by bins of equal width: the expected calibration error and the reliability curve.

A bin holds probabilities from its lower end up to, not including, its upper end; the last one holds 1 as well. The
error is the plug-in one of Naeini, Cooper & Hauskrecht (2015): sum over bins of n_b / N |mean probability - mean
label|. Chance only pushes it up, most where rows are few: a perfectly calibrated model has not 0. Its interval is
therefore made from a bound on chance (`noise_of`), never from the percentiles of resampled errors, which lie higher
still.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.evaluate.metrics import Floats

BINS = 10


def bin_of(probability: Floats) -> npt.NDArray[np.int64]:
    """Return (N,) the bin of each probability in [0, 1]."""
    return np.minimum((probability.astype(np.float64) * BINS).astype(np.int64), BINS - 1)


def bin_errors(
    label: Floats, probability: Floats, cell: npt.NDArray[np.integer], cells: int, weight: Floats | None = None
) -> npt.NDArray[np.float64]:
    """Return (cells, BINS) sums of probability - label over the rows of each cell and bin. Sums of these make ECE.

    Args:
        label: (N,) in [0, 1].
        probability: (N,) in [0, 1].
        cell: (N,) index of each row's cell, in [0, cells).
        cells: how many.
        weight: (N,) of each row; None: every row counts once.
    """
    errors = probability.astype(np.float64) - label
    place = cell.astype(np.int64) * BINS + bin_of(probability)
    sums = np.bincount(place, weights=errors if weight is None else errors * weight, minlength=cells * BINS)
    return np.asarray(sums, np.float64).reshape(cells, BINS)


def noise_of(
    errors: npt.NDArray[np.float64],
    rows: npt.NDArray[np.float64],
    drawn_errors: npt.NDArray[np.float64],
    drawn_rows: npt.NDArray[np.float64],
) -> npt.NDArray[np.float64]:
    """Return (R, ...) how far chance may have moved ECE in each resample: sum over bins of |drawn - own share|.

    By the triangle inequality |ECE - true ECE| is at most the sum over bins of |own - true share|, and a resample tells
    how large that is by chance. ECE -+ a quantile of it holds the true one at least as often as the quantile says, also
    where the true one is 0. NaN where a resample has no rows.

    Args:
        errors: (..., BINS) sums of `bin_errors`.
        rows: (...) rows of these sums.
        drawn_errors: (R, ..., BINS) the same of each resample.
        drawn_rows: (R, ...).
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.abs(drawn_errors / drawn_rows[..., None] - errors / rows[..., None]).sum(axis=-1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """The reliability curve of one set of rows. Means are NaN in an empty bin."""

    rows: npt.NDArray[np.int64]
    """(BINS,) how many rows."""
    students: npt.NDArray[np.int64]
    """(BINS,) how many students have a row there."""
    mean_probability: npt.NDArray[np.float64]
    """(BINS,)."""
    mean_label: npt.NDArray[np.float64]
    """(BINS,)."""


def reliability_of(label: Floats, probability: Floats, student: npt.NDArray[np.integer]) -> Reliability:
    """Return the reliability curve.

    Args:
        label: (N,) in [0, 1].
        probability: (N,) in [0, 1].
        student: (N,) any whole numbers; equal ones are one student.
    """
    places = bin_of(probability)
    rows = np.bincount(places, minlength=BINS)
    _, index = np.unique(student, return_inverse=True)
    seen = np.unique(index.astype(np.int64) * BINS + places) % BINS

    def mean(values: Floats) -> npt.NDArray[np.float64]:
        total = np.bincount(places, weights=values.astype(np.float64), minlength=BINS)
        return np.asarray(np.divide(total, rows, out=np.full(BINS, np.nan), where=rows > 0))

    return Reliability(
        rows=rows.astype(np.int64),
        students=np.bincount(seen, minlength=BINS).astype(np.int64),
        mean_probability=mean(probability),
        mean_label=mean(label),
    )


def ece_of(label: Floats, probability: Floats) -> float:
    """Return the expected calibration error of at least one row."""
    return float(np.abs(bin_errors(label, probability, np.zeros(len(label), np.int64), 1)).sum() / len(label))
