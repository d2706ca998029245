"""In how many texts each hash occurs, counted text by text and merged."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from components.writing.codec.hashing import Hashes

Counts = tuple[Hashes, npt.NDArray[np.int32]]
"""Sorted distinct hashes, and in how many texts each occurs."""
_MERGE_AT = 4_000_000


class Counter:
    """Counts distinct hashes of texts; memory stays within a few times the number of distinct ones."""

    def __init__(self) -> None:
        self._waiting: list[Counts] = []
        self._size = 0

    def add(self, distinct: Hashes) -> None:
        """Count one text; `distinct` holds no hash twice."""
        self.add_counts((distinct, np.ones(len(distinct), np.int32)))

    def add_counts(self, counts: Counts) -> None:
        """Count what another counter counted."""
        self._waiting.append(counts)
        self._size += len(counts[0])
        if self._size > _MERGE_AT:
            self._merge()

    def counts(self) -> Counts:
        """Return what was counted so far."""
        self._merge()
        return self._waiting[0] if self._waiting else (np.zeros(0, np.uint64), np.zeros(0, np.int32))

    def _merge(self) -> None:
        if len(self._waiting) > 1:
            self._waiting = [_merged(self._waiting)]
        self._size = 0


def kept(counts: Counts, least: int, most: int) -> Counts:
    """Return the hashes of at least `least` texts and, of more than `most`, those of most texts (ties by hash)."""
    hashes, times = counts
    at = np.flatnonzero(times >= least)
    if len(at) > most:
        at = np.sort(at[np.argsort(-times[at], kind="stable")[:most]])
    return hashes[at], times[at]


def _merged(parts: Iterable[Counts]) -> Counts:
    parts = list(parts)
    hashes = np.concatenate([part[0] for part in parts])
    times = np.concatenate([part[1] for part in parts])
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(ordered) else order
    sums = np.add.reduceat(times[order], first) if len(ordered) else times
    return ordered[first], sums.astype(np.int32)
