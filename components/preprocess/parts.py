"""Which answers each split holds, and which of them are scored: split by student, or by time.

By student, a student is wholly in one split. By time, training ends at one moment and testing begins at a later one; a
student of the test split keeps the whole history, as a service would know it, and only the late answers are scored.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import polars as pl

from components.errors import NotEnoughDataError
from components.preprocess.config import PreprocessConfig
from components.preprocess.split import SPLITS, TEST, TRAIN, VALID, split_of_students


@dataclass(frozen=True, slots=True)
class Part:
    """One split, students one after the other.

    Shapes: N answers of the split, S students of it.
    """

    rows_N: npt.NDArray[np.int64]
    """Rows of `interactions`, in order."""
    students_S: npt.NDArray[np.int64]
    """Numbers of the students, as they lie in `interactions`."""
    lengths_S: npt.NDArray[np.int64]
    scored_N: npt.NDArray[np.bool_]
    """False where an answer is only history."""


@dataclass(frozen=True, slots=True)
class Divided:
    """Train, valid and test, and, by time, when the last two begin (`time_ms`)."""

    parts: tuple[Part, Part, Part]
    begins_ms: tuple[int, int] | None = None


def divide(
    interactions: pl.DataFrame,
    students: Sequence[str],
    lengths_S: npt.NDArray[np.int64],
    declared: Sequence[str | None],
    config: PreprocessConfig,
) -> Divided:
    """Return the three splits.

    Args:
        interactions: sorted by student, then time.
        students: pseudonyms in that order.
        lengths_S: answers of each.
        declared: `test` or `valid` where a student's file was named for it, else None.
        config: says how.

    Raises:
        NotEnoughDataError: by time, when answers have no time, or students are declared, or all times are alike.
    """
    if config.split == "time":
        return _by_time(interactions["time_ms"], lengths_S, declared, config)
    side_S = split_of_students(
        students, declared, valid_share=config.valid_share, test_share=config.test_share, seed=config.split_seed
    )
    side_N = np.repeat(side_S, lengths_S)
    found = []
    for number in range(len(SPLITS)):
        rows, own = np.flatnonzero(side_N == number), np.flatnonzero(side_S == number)
        found.append(Part(rows, own, lengths_S[own], np.ones(len(rows), np.bool_)))
    return Divided((found[TRAIN], found[VALID], found[TEST]))


def _by_time(
    time: pl.Series, lengths_S: npt.NDArray[np.int64], declared: Sequence[str | None], config: PreprocessConfig
) -> Divided:
    if any(declared):
        raise NotEnoughDataError(
            f"preprocess.split is 'time', but {sum(name is not None for name in declared)} students come from files "
            "that were named for validation or testing. Name all files as --data, or split by 'student'."
        )
    if time.null_count():
        raise NotEnoughDataError(
            f"preprocess.split is 'time', but {time.null_count()} of {len(time)} answers have no time. Name the column "
            "of times in ingest.mapping, or split by 'student'."
        )
    ms_N = time.to_numpy()
    ordered = np.sort(ms_N)
    # The answer at the share's place begins the split: answers of one moment stay together.
    test_at = ordered[min(len(ordered) - 1, int(len(ordered) * (1.0 - config.test_share)))]
    valid_at = ordered[min(len(ordered) - 1, int(len(ordered) * (1.0 - config.test_share - config.valid_share)))]
    if not ordered[0] < valid_at < test_at:
        raise NotEnoughDataError(
            f"Splitting {len(ordered)} answers by time leaves a split empty: training would end at {_moment(valid_at)} "
            f"and testing begin at {_moment(test_at)}, with the first answer at {_moment(ordered[0])}. Expected three "
            "different times; change preprocess.valid_share and preprocess.test_share, or split by 'student'."
        )
    of_N = np.where(ms_N >= test_at, TEST, np.where(ms_N >= valid_at, VALID, TRAIN))
    student_N = np.repeat(np.arange(len(lengths_S)), lengths_S)
    found = []
    for number in range(len(SPLITS)):
        taking_part = np.bincount(student_N[of_N == number], minlength=len(lengths_S)) > 0
        rows = np.flatnonzero((of_N <= number) & taking_part[student_N])
        counts = np.bincount(student_N[rows], minlength=len(lengths_S))
        own = np.flatnonzero(counts)
        found.append(Part(rows, own, counts[own], of_N[rows] == number))
    return Divided((found[TRAIN], found[VALID], found[TEST]), begins_ms=(int(valid_at), int(test_at)))


def _moment(ms: np.int64) -> str:
    """Return a time as a date where it can be one; sources with an origin of their own begin near 0."""
    if int(ms) < 86_400_000 * 365:
        return f"{int(ms)} ms"
    return datetime.fromtimestamp(int(ms) / 1_000, UTC).isoformat(timespec="seconds")
