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
from components.fairness.limits import DECIMALS
from components.fairness.pairs import PairOfGroups, pairs_of
from components.fairness.report import gaps_json
from components.mitigation.before_after import Resampling, before_and_after


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """What was found out about the groups of one attribute, or of an intersection."""

    comparison: Comparison
    pairs: tuple[PairOfGroups, ...] = ()
    curves: Mapping[str, Mapping[str, JsonValue]] = field(default_factory=dict)
    """Group -> its curves, for the groups that are shown."""
    mitigation: Mapping[str, JsonValue] | None = None
    """Where the answers were mapped, without and with it: `groups`, the shown ones with `before`, `after` and
    `difference`, and `gaps_before`."""


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

    @property
    def mitigation(self) -> dict[str, JsonValue] | None:
        """Return what `groups.json` says of a post-processor, None where there is none."""
        found: dict[str, JsonValue] = {
            name: {**one.mitigation} for name, one in self.attributes.items() if one.mitigation is not None
        }
        return {"attributes": found} if found else None


def tables_of(
    rows: ScoredRows,
    attributes: Mapping[str, Values],
    wanted: Sequence[str],
    config: FairnessConfig,
    raw_N: npt.NDArray[np.floating] | None = None,
) -> Tables:
    """Return the tables by group.

    Args:
        rows: the scored predictions, at least one, without weights.
        attributes: attribute -> (S,) each student's value; None is the group `unknown`.
        wanted: names of attributes, or of two with ` & ` between them: their intersection.
        config: sizes, resamples, confidence, seed.
        raw_N: the probabilities without the post-processor, where there is one.

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
    is_kept = number[rows.student] >= 0
    its = rows.at(is_kept)
    its = ScoredRows(student=number[its.student], label=its.label, probability=its.probability)
    raw = None if raw_N is None else ScoredRows(student=its.student, label=its.label, probability=raw_N[is_kept])
    found = {}
    for name in wanted:
        values, hidden = cells_of(name, attributes, kept, answers, **sizes)
        one = _attribute(its, values, hidden, config)
        if raw is not None:
            one = replace(one, mitigation=_mitigation(raw, its, values, hidden, one.comparison, config))
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


def _mitigation(
    raw: ScoredRows,
    rows: ScoredRows,
    values: Values,
    hidden: Sequence[str],
    after: Comparison,
    config: FairnessConfig,
) -> dict[str, JsonValue]:
    raw.check()
    names, group = numbered(values)
    how = Resampling(
        resamples=config.resamples,
        confidence=config.confidence,
        seed=config.seed,
        min_rarer_class=config.min_rarer_class,
        decimals=DECIMALS,
    )
    of_students: npt.NDArray[np.int64] = group[rows.student]
    every = before_and_after(raw, rows.probability, of_students, len(names), how, students=len(values))
    shown = zip(after.groups, every, strict=True)
    before = compare_groups(raw, values, config, hidden=hidden)
    return {
        "groups": [{"group": group.name, **own} for group, own in shown if group.status == "ok"],
        "gaps_before": gaps_json(before, config.gap_limits),
    }


def _useless(rows: ScoredRows, config: FairnessConfig) -> str | None:
    """Return the sentence that names the model as useless over all students of the tables, if it is."""
    if not len(rows.label):
        return None
    everyone = np.zeros(len(rows.label), np.int64)
    found = measured(rows, everyone, 1, resamples=config.resamples, seed=config.seed)
    (estimates,) = estimates_of(found, confidence=config.confidence)
    return useless_of(rows.probability, estimates[AUC], estimates[BALANCED])
