"""All tables by group of one set of predictions: attributes, their intersections, pairs of groups, curves.

Works from plain arrays, so that any application whose answers are probabilities can use it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from components.artifacts import JsonValue
from components.errors import ConfigError, SchemaError
from components.evaluate.curves import curves_json
from components.evaluate.estimates import estimates_of, measured
from components.evaluate.measures import AUC, BALANCED
from components.evaluate.usefulness import useless_of
from components.fairness.config import FairnessConfig
from components.fairness.groups import UNKNOWN, Comparison, ScoredRows, compare_groups, numbered
from components.fairness.pairs import PairOfGroups, pairs_of
from components.fairness.suppression import SEPARATOR, hidden_cells, set_aside

Values = Sequence[str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """What was found out about the groups of one attribute, or of an intersection."""

    comparison: Comparison
    pairs: tuple[PairOfGroups, ...] = ()
    curves: Mapping[str, Mapping[str, JsonValue]] = field(default_factory=dict)
    """Group -> its curves, for the groups that are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """Of one set of predictions."""

    attributes: Mapping[str, Attribute]
    useless: str | None
    """The sentence that names the model as useless, if it is."""

    @property
    def comparisons(self) -> dict[str, Comparison]:
        """Return attribute -> comparison."""
        return {name: found.comparison for name, found in self.attributes.items()}


def tables_of(
    rows: ScoredRows, attributes: Mapping[str, Values], wanted: Sequence[str], config: FairnessConfig
) -> Tables:
    """Return the tables by group.

    Args:
        rows: the scored predictions, at least one, without weights.
        attributes: attribute -> (S,) each student's value; None is the group `unknown`.
        wanted: names of attributes, or of two with ` & ` between them: their intersection.
        config: sizes, resamples, confidence, seed.

    Raises:
        ConfigError: an intersection of an unknown attribute, of one with itself, or of more than two.
        SchemaError: the arrays do not fit together, or hold what is no probability, label or weight.
    """
    rows.check()
    if rows.weight is not None:
        raise SchemaError(
            "The rows have weights; curves and areas between them are of rows that count once. Leave the weights out, "
            "or compare groups by `compare_groups`."
        )
    wrong = {name: len(values) for name, values in attributes.items() if len(values) != rows.students}
    if wrong:
        raise SchemaError(
            f"The rows are of {rows.students} students; attributes have values for {wrong}. Give one value for each "
            "student, None where it is not known."
        )
    names = {name: parts_of(name, list(attributes)) for name in wanted}
    single = {
        name: numbered(attributes[name])[1] for name in dict.fromkeys(p for parts in names.values() for p in parts)
    }
    answers = np.bincount(rows.student, minlength=rows.students)
    left_out = set_aside(single, answers, min_students=config.min_students, min_scored=config.min_scored)
    kept_S = np.flatnonzero(~left_out & (np.bincount(rows.student, minlength=len(left_out)) > 0))
    number = np.full(len(left_out), -1)
    number[kept_S] = np.arange(len(kept_S))
    its = rows.at(number[rows.student] >= 0)
    its = ScoredRows(student=number[its.student], label=its.label, probability=its.probability)
    found = {}
    for name, parts in names.items():
        columns = [[attributes[part][s] for s in kept_S.tolist()] for part in parts]
        if len(parts) == 1:
            found[name] = _attribute(its, columns[0], (), config)
        else:
            values, hidden = intersection(its, columns[0], columns[1], config)
            found[name] = _attribute(its, values, hidden, config)
    return Tables(attributes=found, useless=_useless(its, config))


def parts_of(name: str, known: Sequence[str]) -> tuple[str, ...]:
    """Return the attributes of a name: itself, or the two that it is the intersection of.

    Raises:
        ConfigError: it is neither.
    """
    if name in known:
        return (name,)
    parts = tuple(name.split(SEPARATOR))
    if len(parts) == 2 and parts[0] != parts[1] and all(part in known for part in parts):
        return parts
    raise ConfigError(
        f"fairness.attributes names {name!r}; expected one of {list(known)}, or two of them with '{SEPARATOR}' between "
        "for their intersection."
    )


def intersection(
    rows: ScoredRows, first: Values, second: Values, config: FairnessConfig
) -> tuple[list[str | None], list[str]]:
    """Return each student's cell of two attributes, and the cells to hide beyond those that are too small."""
    a_names, a = numbered(first)
    b_names, b = numbered(second)
    shape = len(a_names), len(b_names)
    answers = np.bincount(rows.student, minlength=len(a))
    students, scored = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    np.add.at(students, (a, b), 1)
    np.add.at(scored, (a, b), answers)
    hidden = hidden_cells(students, scored, min_students=config.min_students, min_scored=config.min_scored)
    titles = [[f"{x}{SEPARATOR}{y}" for y in b_names] for x in a_names]
    cells = [titles[i][j] for i, j in zip(a.tolist(), b.tolist(), strict=True)]
    both = [None if cell == f"{UNKNOWN}{SEPARATOR}{UNKNOWN}" else cell for cell in cells]
    return both, [titles[i][j] for i, j in zip(*np.nonzero(hidden), strict=True)]


def _attribute(rows: ScoredRows, values: Values, hidden: Sequence[str], config: FairnessConfig) -> Attribute:
    comparison = compare_groups(rows, values, config, hidden=hidden)
    _, group = numbered(values)
    shown = [(at, g.name, g.estimates[AUC]) for at, g in enumerate(comparison.groups) if g.status == "ok"]
    own: npt.NDArray[np.int64] = group[rows.student]
    curves = {}
    for at, name, auc in shown:
        its = rows.at(own == at)
        curves[name] = curves_json(
            its.label,
            its.probability,
            its.student,
            min_rows=config.min_scored,
            min_students=config.min_students,
            has_roc=auc.status == "ok",
        )
    pairs = pairs_of(rows, group, shown, resamples=config.resamples, confidence=config.confidence, seed=config.seed)
    return Attribute(comparison=comparison, pairs=tuple(pairs), curves=curves)


def _useless(rows: ScoredRows, config: FairnessConfig) -> str | None:
    """Return the sentence that names the model as useless over all students of the tables, if it is."""
    if not len(rows.label):
        return None
    everyone = np.zeros(len(rows.label), np.int64)
    found = measured(rows, everyone, 1, resamples=config.resamples, seed=config.seed)
    (estimates,) = estimates_of(found, confidence=config.confidence)
    return useless_of(rows.probability, estimates[AUC], estimates[BALANCED])
