"""How alike texts are: inner products of n-grams, and a Gaussian of features."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from components.writing.kernel.config import KernelConfig
from components.writing.preprocess.arrays import Ragged, TextArrays

Floats = npt.NDArray[np.float64]
FREQUENT = 0.05
"""Above this share of texts an n-gram counts as frequent; only speed hangs on it."""


def gaussian(left_NF: Floats, right_MF: Floats, gamma: float) -> Floats:
    """Return exp(-gamma |x - y|^2) of all pairs of rows."""
    squares = np.square(left_NF).sum(1)[:, None] + np.square(right_MF).sum(1) - 2.0 * left_NF @ right_MF.T
    found: Floats = np.exp(-gamma * np.maximum(squares, 0.0))
    return found


def grams_of(
    ends: tuple[int, int, int], part: TextArrays, rows: npt.NDArray[np.int64], config: KernelConfig
) -> sparse.csr_matrix:
    """Return texts as sparse rows over n-grams, each block times the square root of its weight.

    Args:
        ends: ids of the first n-gram of words, of the first of characters, and of the first behind; others are left
            out.
        part: has n-grams.
        rows: of the part.
        config: the weights.
    """
    assert part.ids is not None  # the codec has n-grams, so preprocessing wrote them
    assert part.values is not None
    first, first_character, end = ends
    ids = _taken(part.ids, rows)
    values = _taken(part.values, rows).astype(np.float64)
    row = np.repeat(np.arange(len(rows)), part.ids.lengths()[rows])
    own = (ids >= first) & (ids < end)
    ids, values, row = ids[own], values[own], row[own]
    weights = np.sqrt(np.where(ids < first_character, config.word_weight, config.character_weight))
    starts = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(rows)))])
    return sparse.csr_matrix((values * weights, ids - first, starts), shape=(len(rows), end - first))


def product(left: sparse.csr_matrix, right: sparse.csr_matrix) -> Floats:
    """Return all inner products of two sets of texts: frequent n-grams by a dense product, the others by a sparse one.

    A sparse product costs the sum over n-grams of the square of how many texts have each; those that a good share of
    texts has make up nearly all of it.
    """
    counts = np.bincount(right.indices, minlength=right.shape[1])
    dense = np.flatnonzero(counts > FREQUENT * right.shape[0])
    rare = np.flatnonzero(counts <= FREQUENT * right.shape[0])
    found: Floats = left[:, dense].toarray() @ right[:, dense].toarray().T
    found += (left[:, rare] @ right[:, rare].T).toarray()
    return found


def block_roots(ends: tuple[int, int, int], config: KernelConfig) -> Floats:
    """Return for each n-gram of a range the square root of its block's weight."""
    first, first_character, end = ends
    found = np.full(end - first, np.sqrt(config.word_weight))
    found[first_character - first :] = np.sqrt(config.character_weight)
    return found


def _taken(ragged: Ragged, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:  # Any: of the ragged array's dtype
    parts = [ragged.row(int(r)) for r in rows]
    return np.concatenate(parts) if parts else ragged.flat[:0]
