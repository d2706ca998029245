"""All tables by group of one set of scored responses: attributes, their intersections, and plain uselessness."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from components.fairness.intersections import Values, cells_of, left_out_of, names_left_out
from components.writing.fairness.config import WritingFairnessConfig
from components.writing.fairness.groups import WritingComparison, compare_groups
from components.writing.fairness.measures import WritingRows

EVERYBODY = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class WritingTables:
    """Of one set of predictions."""

    attributes: Mapping[str, WritingComparison]
    useless: str | None
    """The sentence that names the model as useless, if it is."""


def tables_of(
    rows: WritingRows, attributes: Mapping[str, Values], wanted: Sequence[str], config: WritingFairnessConfig
) -> WritingTables:
    """Return the tables by group.

    Args:
        rows: the held-out responses, at least one.
        attributes: attribute -> (S,) each student's value; None is the group `unknown`.
        wanted: names of attributes, or of two with ` & ` between them: their intersection.
        config: sizes, resamples, confidence, seed.

    Raises:
        ConfigError: an intersection of an unknown attribute, of one with itself, or of more than two.
        SchemaError: an attribute has values for another number of students.
    """
    students = int(rows.student.max()) + 1
    answers = np.bincount(rows.student[rows.is_graded], minlength=students)
    sizes = {"min_students": config.min_students, "min_scored": config.min_scored}
    there = np.bincount(rows.student, minlength=students) > 0  # abstentions are counted as well
    kept = np.flatnonzero(~left_out_of(attributes, wanted, answers, **sizes) & there)
    number = np.full(students, -1)
    number[kept] = np.arange(len(kept))
    its = _at(rows, number)
    found = {}
    for name in wanted:
        values, hidden = cells_of(name, attributes, kept, answers, **sizes)
        one = compare_groups(its, values, config, hidden=hidden)
        left_out = names_left_out(name, attributes, kept, there.astype(np.int64))
        found[name] = replace(one, groups=one.groups.with_left_out(left_out))
    return WritingTables(attributes=found, useless=_useless(its, len(kept), config))


def _at(rows: WritingRows, number: np.ndarray) -> WritingRows:
    """Return the rows of the students that have a number, and their new numbers."""
    own = number[rows.student] >= 0
    return replace(
        rows,
        student=number[rows.student[own]],
        **{name: getattr(rows, name)[own] for name in ("prompt", "score", "raw", "rounded", "ratings", "is_graded")},
    )


def _useless(rows: WritingRows, students: int, config: WritingFairnessConfig) -> str | None:
    """Return the sentence that names a model whose scores say nothing of the human ones, None where they do."""
    if not students:
        return None
    (everybody,) = compare_groups(rows, [EVERYBODY] * students, config).groups.groups
    if everybody.status != "ok":
        return None
    end = "Equal figures in all groups are what any such model has; they do not make it fair."
    graded = rows.is_graded
    spreads = [np.ptp(rows.raw[graded & (rows.prompt == p)]) for p in np.unique(rows.prompt[graded])]
    if not any(spread > 0.0 for spread in spreads):
        return f"The model is useless: it gives every response to a prompt the same score. {end}"
    its = everybody.estimates["pearson"]
    if its.low is not None and its.low <= 0.0:
        return (
            f"The model is useless: its scores do not follow the human ones (correlation {its.value:.3f}, interval "
            f"{its.low:.3f} to {its.high:.3f}). {end}"
        )
    return None
