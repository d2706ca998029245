"""Rows that repeat a problem: under the protocol `row_per_skill` the row before one shows its answer.

A problem with several skills then stands there as several rows, one behind the other, with one answer. A model that
copies the answer of the row before scores high without knowing anything of the student, so figures with these rows left
out stand beside those over all rows. Xiong, Zhao, Van Inwegen & Beck (2016) describe the effect for ASSISTments.
"""

import numpy as np
import numpy.typing as npt

from components.evaluate.sequences import NONE, Split

ROW_PER_SKILL = "row_per_skill"
PROBLEM = "problem"
REASONS = {
    PROBLEM: "No rows repeat a problem: this protocol has one row for each answer, with the problem's set of skills.",
    "row_as_given": "Nobody can tell which rows repeat a problem: the logs have no problem ids. If problems with "
    "several skills stand there as several rows, the answer leaks from one row to the next: the figures are too high.",
    ROW_PER_SKILL: "This protocol has a row for each skill of a problem: a row repeats the problem of the student's "
    "row before, which shows the answer. Two problems outside the vocabulary, one behind the other, count as repeats "
    "too, as nobody can tell them apart.",
}
"""What the number of repeats says, by protocol."""


def rows_without_repeats(protocol: str, split: Split, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.intp] | None:
    """Return those of `rows` that repeat no problem; None where the protocol leaves nobody able to tell."""
    if protocol == ROW_PER_SKILL:
        return rows[~repeats_of(split)[rows]]
    return rows if protocol == PROBLEM else None


def repeats_of(split: Split) -> npt.NDArray[np.bool_]:
    """Return (N,) bool: whether the row before of the same student, also in an earlier window, has the same item.

    Rows without an item repeat nothing. Neighbours whose items are both outside the vocabulary count as repeats, so
    that no repeat is missed.
    """
    student = split.student()
    time = np.lexsort((split.position, student))
    of, item = student[time], np.asarray(split.items)[time]
    same = np.zeros(split.steps, np.bool_)
    same[1:] = (of[1:] == of[:-1]) & (item[1:] == item[:-1]) & (item[1:] != NONE)
    out = np.empty(split.steps, np.bool_)
    out[time] = same
    return out
