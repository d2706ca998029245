"""What a student did before each step: right and wrong answers so far, in all, on the same item, and on each skill.

A score counts as it is: an answer of 0.7 is 0.7 of a right answer (a win) and 0.3 of a wrong one (a failure). Counts
run over the student's whole history, across windows, and never hold the step itself or a later one. Items and skills
outside the vocabulary share one index and cannot be told apart: their own counts stay zero.

Shapes: N steps, K skills per step at most, E entries.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.evaluate.sequences import UNKNOWN, Split

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Counts before each step, in the order of the split's flat arrays."""

    wins_N: Floats
    failures_N: Floats
    item_wins_N: Floats
    """On the step's item; zero where it has none or an unknown one."""
    item_failures_N: Floats
    skill_wins_NK: Floats
    """On each of the step's skills; zero where there is no skill or an unknown one."""
    skill_failures_NK: Floats


def counts_of(split: Split) -> Counts:
    """Return the counts before each step of `split`."""
    _, student = np.unique(split.student(), return_inverse=True)
    time = np.lexsort((split.position, student))
    student = student[time]
    items = np.asarray(split.items)[time].astype(np.int64)
    skills = np.asarray(split.skills)[time].astype(np.int64)
    wins = np.asarray(split.responses)[time].astype(np.float64)
    judged = np.stack([wins, 1.0 - wins])

    def flat(values: Floats) -> Floats:
        out = np.empty_like(values)
        out[time] = values
        return out

    in_all = sums_before(student, judged)
    on_item = np.zeros_like(judged)
    rows = np.flatnonzero(items > UNKNOWN)
    on_item[:, rows] = sums_before(_pairs(student[rows], items[rows]), judged[:, rows])
    on_skill = np.zeros((2, *skills.shape))
    rows, places = np.nonzero(skills > UNKNOWN)  # row by row: still in order of time
    on_skill[:, rows, places] = sums_before(_pairs(student[rows], skills[rows, places]), judged[:, rows])
    return Counts(
        wins_N=flat(in_all[0]),
        failures_N=flat(in_all[1]),
        item_wins_N=flat(on_item[0]),
        item_failures_N=flat(on_item[1]),
        skill_wins_NK=flat(on_skill[0]),
        skill_failures_NK=flat(on_skill[1]),
    )


def sums_before(group: Ints, values: Floats) -> Floats:
    """Return (M, E): for each entry, the sum of the values of earlier entries of its group.

    Args:
        group: (E,) the group of each entry; entries of a group stand in order of time.
        values: (M, E) at least 0.
    """
    order = np.argsort(group, kind="stable")
    grouped, sorted_values = group[order], values[:, order]
    before = np.cumsum(sorted_values, axis=1) - sorted_values
    begins = np.ones(len(group), np.bool_)
    begins[1:] = grouped[1:] != grouped[:-1]
    first = np.maximum.accumulate(np.where(begins, np.arange(len(group)), 0))
    out = np.empty_like(values)
    out[:, order] = np.maximum(before - before[:, first], 0.0)  # fractions may leave rounding below zero
    return out


def _pairs(student: Ints, index: Ints) -> Ints:
    """Return one number for each pair, equal for equal pairs."""
    return student * (int(index.max(initial=0)) + 1) + index
