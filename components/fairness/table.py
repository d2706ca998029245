"""All tables by group of one set of predictions: attributes, their intersections, pairs of groups, curves.

Works from plain arrays, so that any application whose answers are probabilities can use it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from components.artifacts import JsonValue
from components.errors import SchemaError
from components.evaluate.curves import curves_json
from components.evaluate.estimates import estimates_of, measured
from components.evaluate.measures import AUC, BALANCED
from components.evaluate.usefulness import useless_of
from components.fairness.config import FairnessConfig
from components.fairness.groups import Comparison, ScoredRows, compare_groups, numbered
from components.fairness.intersections import Values, cells_of, names_left_out, students_kept
from components.fairness.pairs import PairOfGroups, pairs_of


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
    sizes = {"min_students": config.min_students, "min_scored": config.min_scored}
    answers = np.bincount(rows.student, minlength=rows.students)
    kept = students_kept(attributes, wanted, answers, **sizes)
    number = np.full(len(answers), -1)
    number[kept] = np.arange(len(kept))
    its = rows.at(number[rows.student] >= 0)
    its = ScoredRows(student=number[its.student], label=its.label, probability=its.probability)
    found = {}
    for name in wanted:
        values, hidden = cells_of(name, attributes, kept, answers, **sizes)
        one = _attribute(its, values, hidden, config)
        left_out = names_left_out(name, attributes, kept, answers)
        found[name] = replace(one, comparison=one.comparison.with_left_out(left_out))
    return Tables(attributes=found, useless=_useless(its, config))


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
