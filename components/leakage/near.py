"""All pairs of texts whose runs of words are nearly the same set, found exactly.

Two sets whose Jaccard similarity is at least t share one of the first |x| - ceil(t |x|) + 1 elements of either,
whatever the order of elements (the prefix filter: Chaudhuri, Ganti & Kaushik 2006; Bayardo, Ma & Srikant 2007). With
the rarest runs first, few texts share one. Every pair that does is compared as a whole: unlike MinHash, this misses no
pair and counts no false one.

Shapes: N texts, R runs of each, E elements of prefixes, P pairs.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.leakage.words import Runs

MOST_COMPARED = 2_000_000
"""Of more candidates, those that share the rarest runs are compared, and the result says that it is not complete."""
MOST_PROPOSED = 50_000_000
_AT_ONCE = 2_000_000
_RUNS_AT_ONCE = 8_000_000
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class NearPairs:
    """Pairs of texts, the smaller number first, each once."""

    first_P: npt.NDArray[np.int64]
    second_P: npt.NDArray[np.int64]
    complete: bool
    """False where texts are so alike that not all candidates were compared."""


def near_pairs(
    runs: Runs, block_N: npt.NDArray[np.int64], sides_N: npt.NDArray[np.int64], similarity: float
) -> NearPairs:
    """Return the pairs of one block, not wholly on one side, whose Jaccard similarity is at least `similarity`.

    Args:
        runs: of each text.
        block_N: only texts of the same block are compared.
        sides_N: bits: a side each on which the text is. A pair counts where both together are on more than one.
        similarity: above 0, at most 1.
    """
    size_N = np.diff(runs.offsets_N1)
    text_E, run_E = _prefixes(runs, size_N, similarity)
    order = np.lexsort((size_N[text_E], run_E, block_N[text_E]))
    text_E, run_E = text_E[order], run_E[order]
    # ranks of (block, run): entries of one are neighbours, shorter texts first
    new = np.ones(len(text_E), np.bool_)
    new[1:] = (run_E[1:] != run_E[:-1]) | (block_N[text_E][1:] != block_N[text_E][:-1])
    group_E = np.cumsum(new) - 1
    largest = int(size_N.max(initial=0)) + 1
    longest = np.floor(size_N[text_E] / similarity + _ROUNDING).astype(np.int64)
    ends = np.searchsorted(
        group_E * largest + size_N[text_E], group_E * largest + np.minimum(longest, largest - 1), side="right"
    )
    complete = int((ends - np.arange(len(ends)) - 1).sum()) <= MOST_PROPOSED
    proposed: list[npt.NDArray[np.int64]] = []
    waiting, found = 0, np.zeros(0, np.int64)
    for a, b in _proposals(ends, text_E, sides_N):
        proposed.append(np.minimum(a, b) * len(size_N) + np.maximum(a, b))
        waiting += len(a)
        if waiting > _AT_ONCE:
            waiting, found, proposed = 0, np.unique(np.concatenate([found, *proposed])), []
            if len(found) > MOST_COMPARED:
                complete = False
                break
    pairs = np.unique(np.concatenate([found, *proposed]))
    first, second = pairs // max(len(size_N), 1), pairs % max(len(size_N), 1)
    both = _shared(runs, size_N, first, second)
    near = both >= similarity * (size_N[first] + size_N[second] - both) - _ROUNDING
    return NearPairs(first[near], second[near], complete)


def _prefixes(
    runs: Runs, size_N: npt.NDArray[np.int64], similarity: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the text and the run of the elements by which a text is found: its rarest, if another text has them."""
    length_N = size_N - np.ceil(similarity * size_N - _ROUNDING).astype(np.int64) + 1
    text_R = np.repeat(np.arange(len(size_N)), size_N)
    place_R = np.arange(len(text_R)) - np.repeat(runs.offsets_N1[:-1], size_N)
    kept = place_R < length_N[text_R]
    kept[kept] = np.bincount(runs.run_R)[runs.run_R[kept]] > 1
    return text_R[kept], runs.run_R[kept]


def _proposals(
    ends_E: npt.NDArray[np.int64], text_E: npt.NDArray[np.int64], sides_N: npt.NDArray[np.int64]
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Give the pairs of an entry with those behind it, up to its end, some at a time; rarest runs first.

    At most `MOST_PROPOSED` are looked at.
    """
    counts_E = ends_E - np.arange(len(ends_E)) - 1
    rare_first = np.argsort(counts_E, kind="stable")
    rare_first = rare_first[counts_E[rare_first] > 0]
    before = np.cumsum(counts_E[rare_first])
    rare_first = rare_first[before <= MOST_PROPOSED]
    edges = np.searchsorted(before, np.arange(0, int(before[-1]) + _AT_ONCE if len(before) else 0, _AT_ONCE))
    for low, high in itertools.pairwise(edges.tolist()):
        own = rare_first[low:high]
        counts = counts_E[own]
        entry = np.repeat(own, counts)
        other = entry + 1 + np.arange(len(entry)) - np.repeat(np.cumsum(counts) - counts, counts)
        a, b = text_E[entry], text_E[other]
        sides = sides_N[a] | sides_N[b]
        several = (sides & (sides - 1)) != 0
        yield a[several], b[several]


def _shared(
    runs: Runs, size_N: npt.NDArray[np.int64], first_P: npt.NDArray[np.int64], second_P: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return (P,) how many runs both texts of a pair have."""
    out = np.zeros(len(first_P), np.int64)
    ends = np.cumsum(size_N[first_P] + size_N[second_P])
    low = 0
    while low < len(first_P):
        before = int(ends[low - 1]) if low else 0
        high = max(low + 1, int(np.searchsorted(ends, before + _RUNS_AT_ONCE)))
        keys = []
        for texts in (first_P[low:high], second_P[low:high]):
            sizes = size_N[texts]
            pair = np.repeat(np.arange(len(texts)), sizes)
            place = np.arange(len(pair)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
            keys.append(pair * (int(runs.run_R.max()) + 1) + runs.run_R[runs.offsets_N1[texts][pair] + place])
        every = np.sort(np.concatenate(keys), kind="stable")
        twice = every[1:][every[1:] == every[:-1]]
        out[low:high] = np.bincount(twice // (int(runs.run_R.max()) + 1), minlength=high - low)
        low = high
    return out
