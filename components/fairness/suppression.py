"""Whom and what a table by group hides, so that no total gives back the figures of a group that is too small.

1. `set_aside`: the students of an attribute's small groups, where these are few all together. The evaluation's figures,
   and the other attributes' tables, are over all students: their totals less those of the groups shown here would be
   the hidden group's, exactly so where groups are of some hundred answers, however they are rounded. So these students
   are left out of every table, and students drawn at random beside them, until what is left over of a total is of as
   many students and answers as a group needs. Where the small groups are many students together, what is left over
   is of no small group, and nobody is left out.
2. `hidden_cells`: an intersection's cells with the margins known, as the two attributes have tables of their own. A
   small cell that is alone in its row or column is the margin less the others, so that more cells are hidden
   (complementary suppression; Cox 1980).

What is left is protected against sums and differences of the numbers of an attribute and of an intersection. Not looked
at are: bounds that follow from numbers being whole and not negative, groups of two attributes one of which lies within
the other but for a few students, and other reports on the same students.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

SEPARATOR = " & "
"""Between the two attributes of an intersection, and between their values."""


def set_aside(
    groups: Mapping[str, Ints], rows_S: npt.NDArray[np.integer], *, min_students: int, min_scored: int
) -> npt.NDArray[np.bool_]:
    """Return (S,) the students who are left out of every table.

    Leaving students out may make another group too small, so that it goes on until nothing changes.

    Args:
        groups: attribute -> (S,) each student's group.
        rows_S: (S,) scored rows of each student; who has none makes no group larger, and goes with the group.
        min_students: what a group must have, and those left out together.
        min_scored: as `min_students`.
    """
    out = np.zeros(len(rows_S), np.bool_)
    order = np.random.default_rng(0).permutation(len(rows_S))
    counts = rows_S > 0

    def are_few(which: npt.NDArray[np.bool_]) -> bool:
        return bool(which.any()) and ((which & counts).sum() < min_students or rows_S[which].sum() < min_scored)

    while True:
        few, spare = np.zeros_like(out), ~out & counts
        for group in groups.values():
            students = np.bincount(group[~out & counts], minlength=int(group.max(initial=0)) + 1)
            rows = np.bincount(group[~out], weights=rows_S[~out], minlength=len(students))
            small = ((students < min_students) | (rows < min_scored))[group] & ~out
            few |= small & are_few(small)
            spare &= (students > min_students)[group] & (rows[group] - rows_S >= min_scored)
        if few.any():
            out |= few
        elif not are_few(out) or out[counts].all():
            return out
        else:  # one whose groups stay large enough without, where there is one
            drawn = order[spare[order]] if spare.any() else order[(~out & counts)[order]]
            out[drawn[0]] = True


def hidden_cells(students: Ints, rows: Ints, *, min_students: int, min_scored: int) -> npt.NDArray[np.bool_]:
    """Return (A, B) which cells of an intersection are hidden, the small ones and those that protect them.

    Hidden cells of a row (or column) of which the margin is shown add up to what is left of it, so that they must be
    several and large enough together; and no small cell may follow from all such sums by solving for it. The smallest
    cell that helps is hidden next.

    Args:
        students: (A, B) students in each cell.
        rows: (A, B) scored rows in each cell.
        min_students: what a cell must have.
        min_scored: what a cell must have.
    """
    there = students > 0
    small = there & ((students < min_students) | (rows < min_scored))
    hidden = small.copy()
    lines = _margins(students, rows, min_students, min_scored)
    by_size = np.argsort(students, axis=None, kind="stable")
    while True:
        unsafe = [line for line in lines if _is_unsafe(line & hidden, students, rows, min_students, min_scored)]
        if unsafe:
            places = [at for at in by_size if any(line.flat[at] for line in unsafe)]
        else:
            solved = _solved(hidden, lines) & small
            if not solved.any():
                return hidden
            near = [line for line in lines if (line & hidden).any()]
            places = [at for at in by_size if any(line.flat[at] for line in near)]
        places = [at for at in places if there.flat[at] and not hidden.flat[at]]
        if not places:
            return hidden  # the margins alone give it away: no table of cells can help
        hidden.flat[places[0] if unsafe else _closing(places, hidden, lines, small)] = True


def _margins(students: Ints, rows: Ints, min_students: int, min_scored: int) -> list[npt.NDArray[np.bool_]]:
    """Return the cells of each row and column whose own total is shown."""
    lines = []
    for axis in (0, 1):
        shown = (students.sum(axis=1 - axis) >= min_students) & (rows.sum(axis=1 - axis) >= min_scored)
        for at in np.flatnonzero(shown):
            line = np.zeros(students.shape, np.bool_)
            line[(at, slice(None)) if axis == 0 else (slice(None), at)] = True
            lines.append(line)
    return lines


def _closing(
    places: Sequence[int],
    hidden: npt.NDArray[np.bool_],
    lines: Sequence[npt.NDArray[np.bool_]],
    small: npt.NDArray[np.bool_],
) -> int:
    """Return the first place that leaves fewer small cells determined when hidden; the first where none does."""
    now = int((_solved(hidden, lines) & small).sum())
    for at in places:
        more = hidden.copy()
        more.flat[at] = True
        if int((_solved(more, lines) & small).sum()) < now:
            return at
    return places[0]


def _is_unsafe(cells: npt.NDArray[np.bool_], students: Ints, rows: Ints, min_students: int, min_scored: int) -> bool:
    """Return whether the sum over some hidden cells, which the margin gives, is of one cell or of few."""
    count = int((students[cells] > 0).sum())
    if not count:
        return False
    few = int(students[cells].sum()) < min_students or int(rows[cells].sum()) < min_scored
    return few or (count == 1 and int(students[cells].max()) < min_students)


def _solved(hidden: npt.NDArray[np.bool_], lines: Sequence[npt.NDArray[np.bool_]]) -> npt.NDArray[np.bool_]:
    """Return (A, B) the hidden cells that the sums of hidden cells along all lines determine."""
    places = np.flatnonzero(hidden)
    out = np.zeros(hidden.shape, np.bool_)
    if not len(places) or not lines:
        return out
    system = np.stack([line.ravel()[places] for line in lines]).astype(np.float64)
    # A cell is determined where no change of the hidden cells that keeps all sums touches it.
    _, values, directions = np.linalg.svd(system)
    rank = int((values > 1e-9).sum())
    free = directions[rank:]
    out.flat[places[(np.abs(free) < 1e-9).all(axis=0)]] = True
    return out
