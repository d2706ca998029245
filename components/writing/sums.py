"""Sums over rows by cell (a prompt, or a prompt and a group) under any multiplicity of the students.

Every figure of agreement is a function of such sums, so that a resample of whole students (see
`components/evaluate/bootstrap.py`) is one weighted sum and no pass of its own through the metrics.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from components.evaluate.bootstrap import resampled_students

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.integer]

WEIGHTS_AT_ONCE = 4_000_000
"""So many weights (resamples times rows) are held at a time: some tens of megabytes."""


def cell_sums(values: Floats, cell: Indices, cells: int, times: npt.NDArray[np.integer]) -> Floats:
    """Return (R, C, M): the sums of (N, M) values in each of C cells, each row taken `times[r]` times.

    Args:
        values: (N, M), finite.
        cell: (N,) index of the row's cell.
        cells: C.
        times: (R, N) how often each row counts.
    """
    order = np.argsort(cell, kind="stable")
    edges = np.searchsorted(cell[order], np.arange(cells + 1))
    values, weights = values[order], times[:, order].astype(np.float64)
    out = np.zeros((len(times), cells, values.shape[1]))
    for c in np.flatnonzero(np.diff(edges)):
        rows = slice(edges[c], edges[c + 1])
        out[:, c] = weights[:, rows] @ values[rows]
    return out


def drawn_sums(
    values: Floats, cell: Indices, cells: int, student: Indices, *, students: int, resamples: int, seed: int
) -> Floats:
    """Return (R, C, M) the sums in each of R resamples of whole students.

    The draws depend on the number of students and the seed alone: columns for two sets of predictions are drawn in
    pairs.

    Args:
        values: (N, M), finite.
        cell: (N,) index of the row's cell.
        cells: C.
        student: (N,) index of the row's student, in [0, students).
        students: how many there are.
        resamples: R.
        seed: of the draws.
    """
    counts = np.stack(list(resampled_students(students, resamples, seed)))
    at_once = max(1, WEIGHTS_AT_ONCE // max(1, len(values)))
    parts = [
        cell_sums(values, cell, cells, counts[at : at + at_once][:, student]) for at in range(0, resamples, at_once)
    ]
    return np.concatenate(parts)


def whole_sums(values: Floats, cell: Indices, cells: int) -> Floats:
    """Return (C, M) the sums with every row taken once."""
    (found,) = cell_sums(values, cell, cells, np.ones((1, len(values)), np.int64))
    return np.asarray(found)


def students_in(cell: Indices, cells: int, student: Indices) -> npt.NDArray[np.int64]:
    """Return (C,) how many different students have a row in each cell."""
    pairs: npt.NDArray[np.int64] = np.unique(np.stack([cell, student]).astype(np.int64), axis=1)
    out = np.zeros(cells, np.int64)
    np.add.at(out, pairs[0], 1)
    return out


def side_by_side(blocks: Sequence[Floats]) -> tuple[Floats, list[slice]]:
    """Return (N, M) all blocks' columns beside each other, and where each block's columns lie."""
    ends = np.cumsum([block.shape[1] for block in blocks])
    return np.hstack(list(blocks)), [slice(e - b.shape[1], e) for e, b in zip(ends, blocks, strict=True)]
