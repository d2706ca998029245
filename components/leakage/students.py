"""The same student in more than one split."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from components.artifacts import JsonValue
from components.leakage.findings import PAIRS, Check, leakage_finding
from components.preprocess.split import SPLITS

MEASURE = "students_in_several_splits"


def check_students(
    splits: Sequence[npt.NDArray[np.int64]], otherwise: Literal["stop", "warn"], *, by_time: bool = False
) -> Check:
    """Return how many students are in more than one split.

    Args:
        splits: numbers of the students of train, valid and test; repeats count once.
        otherwise: the outcome where there are any.
        by_time: the split is by time, so that a student's history goes on in the next split and nothing is judged.
    """
    own = [np.unique(students) for students in splits]
    every = np.concatenate(own)
    times = np.unique(every, return_counts=True)[1]
    several, total = int((times > 1).sum()), len(times)
    shared: dict[str, JsonValue] = {
        f"{SPLITS[a]} & {SPLITS[b]}": len(np.intersect1d(own[a], own[b], assume_unique=True)) for a, b in PAIRS
    }
    counts: dict[str, JsonValue] = {name: len(students) for name, students in zip(SPLITS, own, strict=True)}
    figures: dict[str, JsonValue] = {"by": "time" if by_time else "student", "students": counts, "shared": shared}
    figures["in_several"] = several
    if by_time:
        reason = f"the split is by time: {several} of {total} students go on in a later split, as in use"
    elif several:
        reason = f"{several} of {total} students are in more than one split"
    else:
        reason = f"none of {total} students is in more than one split"
    finding = leakage_finding(
        MEASURE,
        value=several,
        limit=None if by_time else 0,
        n=total,
        outcome=otherwise if several and not by_time else "pass",
        reason=reason,
    )
    return Check(name="students", findings=(finding,), figures=figures)
