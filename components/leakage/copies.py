"""Students whose whole sequence of answers another student has too: one student under two ids, or a copied account.

Shapes: N answers, S students one after the other, C students in classes of equal sequences.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from components.errors import SchemaError

_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no power of it is zero


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """Classes of students with equal sequences."""

    student_C: npt.NDArray[np.int64]
    class_C: npt.NDArray[np.int64]
    """Equal for students with equal sequences."""
    same_times_C: npt.NDArray[np.bool_]
    """Whether the times are those of the class's first student too; False for the first, and where there are none."""


def find_copies(rows: pl.DataFrame, times: pl.Series, lengths_S: npt.NDArray[np.int64], min_bits: float) -> Copies:
    """Return the students whose sequences are equal, answer by answer, and say something (`information_bits`).

    Equal hashes only propose; every class is compared answer by answer, so that none is wrong.

    Args:
        rows: (N) what makes answers equal, `right` (bool) among the columns; students one after the other.
        times: (N) when, null where unknown.
        lengths_S: answers of each student.
        min_bits: sequences with less information are left out.
    """
    lengths = lengths_S.astype(np.int64)
    starts = np.cumsum(lengths) - lengths
    if rows.height != lengths.sum():
        raise SchemaError(f"{rows.height} answers, {lengths.sum()} by the students' lengths. Run ingest again.")
    right_S = np.add.reduceat(rows["right"].to_numpy().astype(np.int64), starts)
    bits_S = np.array([information_bits(n, k) for n, k in zip(lengths.tolist(), right_S.tolist(), strict=True)])
    said = np.flatnonzero(bits_S >= min_bits)
    hash_S = _sequence_hashes(rows, starts, lengths)
    keys = np.stack([hash_S[said], lengths[said].astype(np.uint64)], axis=1)
    _, of, size = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    proposed = size[of.reshape(-1)] > 1
    found: list[tuple[int, int, bool]] = []
    by_hash: dict[int, list[int]] = {}
    for student, group in zip(said[proposed].tolist(), of.reshape(-1)[proposed].tolist(), strict=True):
        by_hash.setdefault(group, []).append(student)
    for students in by_hash.values():
        while len(students) > 1:
            first, rest = students[0], students[1:]
            its = rows.slice(int(starts[first]), int(lengths[first]))
            equal = [s for s in rest if its.equals(rows.slice(int(starts[s]), int(lengths[s])), null_equal=True)]
            if equal:
                when = times.slice(int(starts[first]), int(lengths[first]))
                known = when.null_count() == 0
                found.append((first, first, False))
                found += [(s, first, known and when.equals(times.slice(int(starts[s]), len(when)))) for s in equal]
            students = [s for s in rest if s not in set(equal)]
    return Copies(
        student_C=np.array([s for s, _, _ in found], np.int64),
        class_C=np.array([c for _, c, _ in found], np.int64),
        same_times_C=np.array([same for _, _, same in found], np.bool_),
    )


def information_bits(answers: int, right: int) -> float:
    """Return the binary logarithm of the number of ways to have `right` of `answers` right.

    Of two students with as many right answers to the same problems in the same order, were all problems equally hard,
    one in 2 to this power would have them in the same places.
    """
    wrong = answers - right
    return (math.lgamma(answers + 1) - math.lgamma(right + 1) - math.lgamma(wrong + 1)) / math.log(2.0)


def _sequence_hashes(
    rows: pl.DataFrame, starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]
) -> npt.NDArray[np.uint64]:
    """Return (S,) a polynomial in the answers' hashes, modulo 2 to the 64."""
    hashes = rows.hash_rows(seed=1).to_numpy()
    place = np.arange(len(hashes)) - np.repeat(starts, lengths)
    powers = np.cumprod(np.full(int(lengths.max(initial=1)), _BASE))
    with np.errstate(over="ignore"):
        return np.add.reduceat(hashes * powers[place], starts)
