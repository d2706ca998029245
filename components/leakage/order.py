"""Answers out of their order in time: within a student, and across splits where the split is by time.

Shapes: N steps of a split.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from components.artifacts import JsonValue
from components.leakage.findings import Check, Finding, leakage_finding
from components.preprocess.split import SPLITS, TEST, TRAIN, VALID

ORDER = "answers_out_of_order"
SIDE = "answers_on_the_wrong_side"


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """The steps of one split, in the order in which a model reads them; a student's are neighbours."""

    student_N: npt.NDArray[np.int64]
    position_N: npt.NDArray[np.int64]
    """Place in the student's history."""
    time_N: npt.NDArray[np.float64]
    """Milliseconds; NaN where unknown."""
    scored_N: npt.NDArray[np.bool_]
    """False where an answer is only history, or has none."""


def check_time(splits: Sequence[Timed], begins_ms: Sequence[int], otherwise: Literal["stop", "warn"]) -> Check:
    """Return how many answers are read before an earlier one, and how many lie on the wrong side of a split by time.

    Args:
        splits: train, valid and test.
        begins_ms: when validation and testing begin; empty where the split is not by time.
        otherwise: the outcome where there are any.
    """
    total = sum(len(split.time_N) for split in splits)
    known = int(sum(np.isfinite(split.time_N).sum() for split in splits))
    backwards = {name: _backwards(split) for name, split in zip(SPLITS, splits, strict=True)}
    figures: dict[str, JsonValue] = {"answers": total, "with_time": known, "out_of_order": {**backwards}}
    out = sum(backwards.values())
    said = f"{out} of {total} answers come after a later one of their student" if out else "no answer comes too late"
    timed = "" if known == total else f"; {total - known} of {total} answers have no time, and their source's order"
    findings = [_finding(ORDER, out, total, otherwise, f"{said}{timed}")]
    if begins_ms:
        wrong = wrong_sides(splits, begins_ms[0], begins_ms[1])
        figures["begins_ms"] = [int(ms) for ms in begins_ms]
        figures["wrong_side"] = {**wrong}
        count = sum(wrong.values())
        reason = (
            "the split is by time, but " + ", ".join(f"{n} answers of {name}" for name, n in wrong.items() if n)
            if count
            else "the split is by time, and no answer"
        ) + (" lie on the wrong side of where validation or testing begins" if count else " lies on the wrong side")
        findings.append(_finding(SIDE, count, total, otherwise, reason))
    return Check(name="time", findings=tuple(findings), figures=figures)


def wrong_sides(splits: Sequence[Timed], valid_ms: int, test_ms: int) -> dict[str, int]:
    """Return, per split, how many answers lie where they must not; what has no time counts as wrong.

    Training ends before `valid_ms`; validation scores answers from then on, and knows none from `test_ms` on; testing
    scores answers from `test_ms` on.
    """
    train, valid, test = (splits[number].time_N for number in (TRAIN, VALID, TEST))
    return {
        SPLITS[TRAIN]: int((~(train < valid_ms)).sum()),
        SPLITS[VALID]: int((~(valid < test_ms) | (splits[VALID].scored_N & ~(valid >= valid_ms))).sum()),
        SPLITS[TEST]: int((splits[TEST].scored_N & ~(test >= test_ms)).sum()),
    }


def _backwards(split: Timed) -> int:
    same = split.student_N[1:] == split.student_N[:-1]
    earlier = same & (split.position_N[1:] <= split.position_N[:-1])
    # beside the latest answer before it that has a time: one without lies between as often as not
    known = np.maximum.accumulate(np.where(np.isfinite(split.time_N), np.arange(len(split.time_N)), -1))[:-1]
    of_same = (known >= 0) & (split.student_N[1:] == split.student_N[known])
    earlier |= of_same & (split.time_N[1:] < split.time_N[known])  # False where it has no time itself
    return int(earlier.sum())


def _finding(measure: str, value: int, n: int, otherwise: Literal["stop", "warn"], reason: str) -> Finding:
    return leakage_finding(measure, value=value, limit=0, n=n, outcome=otherwise if value else "pass", reason=reason)
