"""Intersections of two attributes as attributes of their own, named `a & b`."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from components.errors import ConfigError, SchemaError
from components.fairness.groups import UNKNOWN, numbered
from components.fairness.suppression import SEPARATOR, hidden_cells, set_aside

Values = Sequence[str | None]
QUOTE = '"'


def readings_of(name: str, known: Sequence[str]) -> list[tuple[str, ...]]:
    """Return all that a name can mean: the attribute of this name, else each two that it is the intersection of."""
    if name in known:
        return [(name,)]
    words = name.split(SEPARATOR)  # an attribute's own name may have the separator in it
    cuts = [(SEPARATOR.join(words[:at]), SEPARATOR.join(words[at:])) for at in range(1, len(words))]
    return [cut for cut in cuts if cut[0] != cut[1] and all(part in known for part in cut)]


def parts_of(name: str, known: Sequence[str]) -> tuple[str, ...]:
    """Return the attributes of a name: itself, or the two that it is the intersection of.

    Raises:
        ConfigError: it is neither, or two attributes of other names read the same with the separator between.
    """
    found = readings_of(name, known)
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(
            f"fairness.attributes names {name!r}, which reads as {' and as '.join(map(str, found))}; expected one "
            f"intersection. Rename an attribute that has '{SEPARATOR}' in its name."
        )
    raise ConfigError(
        f"fairness.attributes names {name!r}; expected one of {list(known)}, or two of them with '{SEPARATOR}' between "
        "for their intersection."
    )


def cell_name(values: Sequence[str]) -> str:
    """Return the name of an intersection's cell, or the value of an attribute alone: no two cells have the same.

    Of students of whom neither is known it is `unknown`.

    A value that has the separator or a quotation mark in it is put in quotation marks, those in it twice.
    """
    if len(values) == 1:
        return values[0]
    if set(values) == {UNKNOWN}:
        return UNKNOWN
    return SEPARATOR.join(
        f'"{value.replace(QUOTE, QUOTE * 2)}"' if SEPARATOR in value or QUOTE in value else value for value in values
    )


def students_kept(
    attributes: Mapping[str, Values],
    wanted: Sequence[str],
    answers_S: npt.NDArray[np.integer],
    *,
    min_students: int,
    min_scored: int,
) -> npt.NDArray[np.int64]:
    """Return the students that tables are made of: those with an answer who are not left out. As `left_out_of` says."""
    sizes = {"min_students": min_students, "min_scored": min_scored}
    return np.flatnonzero(~left_out_of(attributes, wanted, answers_S, **sizes) & (answers_S > 0))


def left_out_of(
    attributes: Mapping[str, Values],
    wanted: Sequence[str],
    answers_S: npt.NDArray[np.integer],
    *,
    min_students: int,
    min_scored: int,
) -> npt.NDArray[np.bool_]:
    """Return (S,) the students who are left out of all tables; see `set_aside`.

    Args:
        attributes: attribute -> (S,) each student's value.
        wanted: names of attributes or intersections.
        answers_S: scored rows of each student.
        min_students: what a group must have.
        min_scored: what a group must have.

    Raises:
        ConfigError: as `parts_of` says.
        SchemaError: an attribute has values for another number of students.
    """
    wrong = {name: len(values) for name, values in attributes.items() if len(values) != len(answers_S)}
    if wrong:
        raise SchemaError(
            f"The rows are of {len(answers_S)} students; attributes have values for {wrong}. Give one value for each "
            "student, None where it is not known."
        )
    used = dict.fromkeys(part for name in wanted for part in parts_of(name, list(attributes)))
    groups = {part: numbered(attributes[part])[1] for part in used}
    return set_aside(groups, answers_S, min_students=min_students, min_scored=min_scored)


def cells_of(
    name: str,
    attributes: Mapping[str, Values],
    kept: npt.NDArray[np.int64],
    answers_S: npt.NDArray[np.integer],
    *,
    min_students: int,
    min_scored: int,
) -> tuple[list[str | None], list[str]]:
    """Return the value of each student kept, and the groups to hide beyond those that are too small.

    Args:
        name: of an attribute, or of an intersection.
        attributes: as in `students_kept`.
        kept: of `students_kept`.
        answers_S: as in `students_kept`.
        min_students: what a group must have.
        min_scored: what a group must have.
    """
    columns = [[attributes[part][s] for s in kept.tolist()] for part in parts_of(name, list(attributes))]
    if len(columns) == 1:
        return columns[0], []
    a_names, a = numbered(columns[0])
    b_names, b = numbered(columns[1])
    students, scored = np.zeros((2, len(a_names), len(b_names)), np.int64)
    np.add.at(students, (a, b), answers_S[kept] > 0)
    np.add.at(scored, (a, b), answers_S[kept])
    hidden = hidden_cells(students, scored, min_students=min_students, min_scored=min_scored)
    titles = [[cell_name((x, y)) for y in b_names] for x in a_names]
    cells = [titles[i][j] for i, j in zip(a.tolist(), b.tolist(), strict=True)]
    return (
        [None if cell == UNKNOWN else cell for cell in cells],
        [titles[i][j] for i, j in zip(*np.nonzero(hidden), strict=True)],
    )


def names_left_out(
    name: str, attributes: Mapping[str, Values], kept: npt.NDArray[np.int64], answers_S: npt.NDArray[np.integer]
) -> list[str]:
    """Return the groups of which no student was kept: too small, and to be counted as such. Arguments as above."""
    parts = parts_of(name, list(attributes))

    def groups_of(students: npt.NDArray[np.integer]) -> set[tuple[str, ...]]:
        return {
            tuple(UNKNOWN if (value := attributes[part][s]) is None else value for part in parts)
            for s in students.tolist()
        }

    gone = groups_of(np.flatnonzero(answers_S > 0)) - groups_of(kept)
    return sorted(cell_name(cell) for cell in gone)
