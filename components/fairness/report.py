"""What `groups.json` says: every group with its size, measures and intervals, the widest gaps, and the verdict.

Of groups that are too small only how many there are: the name of a group of one may be the name of that one.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from components.artifacts import JsonValue
from components.fairness.gate import Judgement
from components.fairness.groups import Comparison, Estimate, Group
from components.fairness.limits import DECIMALS, GateConfig
from components.fairness.pairs import PairOfGroups
from components.fairness.summary import Summary
from components.gate.decision import findings_to_json


class ReportConfig(GateConfig, Protocol):
    """What the report must know of a configuration."""

    @property
    def resamples(self) -> int:
        """Bootstrap resamples of whole students."""

    @property
    def seed(self) -> int:
        """Of the resamples."""


def report_json(
    comparisons: Mapping[str, Comparison],
    judgement: Judgement,
    config: ReportConfig,
    *,
    protocol: str,
    meanings: Mapping[str, str],
    sizes: Mapping[str, int],
    more: Mapping[str, Mapping[str, JsonValue]] | None = None,
    curves: Mapping[str, Mapping[str, Mapping[str, JsonValue]]] | None = None,
    useless: str | None = None,
    mitigation: Mapping[str, JsonValue] | None = None,
) -> dict[str, JsonValue]:
    """Return the contents of `groups.json`.

    Args:
        comparisons: attribute -> its groups.
        judgement: the gate's.
        config: limits and how intervals were made.
        protocol: of the evaluation.
        meanings: measure -> what it is, in words.
        sizes: the configuration's least sizes by name.
        more: attribute -> what else is said of it.
        curves: attribute -> group -> its curves; see `components/evaluate/curves.py`.
        useless: the sentence that names the model as useless, if it is.
        mitigation: what was done to the answers, with the groups' figures before and after; None for nothing.
    """
    measures: dict[str, JsonValue] = {**meanings}
    limits: dict[str, JsonValue] = {**config.gap_limits, **config.departure_limits}
    levels: dict[str, JsonValue] = {**config.level_limits}
    return {
        "format": 1,
        "verdict": judgement.verdict,
        "useless": useless,
        "reasons": [*judgement.reasons],
        "findings": findings_to_json(judgement.findings),
        **({} if mitigation is None else {"mitigation": {**mitigation}}),
        "protocol": protocol,
        "measures": measures,
        "limits": limits,
        "least_of_groups": levels,
        "sizes": {**sizes},
        "bootstrap": {
            "unit": "student",
            "resamples": config.resamples,
            "confidence": config.confidence,
            "seed": config.seed,
            "gaps": "simultaneous over all pairs of groups; of what has a limit, over all limits and attributes",
        },
        "attributes": {
            name: {
                "groups": [
                    _group(g) | _curves((curves or {}).get(name, {}).get(g.name))
                    for g in comparison.groups
                    if g.status == "ok"
                ],
                "too_few": sum(g.status != "ok" for g in comparison.groups),
                "gaps": gaps_json(comparison, config.gap_limits),
                "departures": _departures(comparison, config.departure_limits),
                "summary": {of: _summary(one) for of, one in comparison.summary.items()},
                **(more or {}).get(name, {}),
            }
            for name, comparison in comparisons.items()
        },
    }


def details_json(pairs: Sequence[PairOfGroups]) -> dict[str, JsonValue]:
    """Return the pairs of an attribute's groups."""
    return {"pairs": [_pair(pair) for pair in pairs]}


def _pair(pair: PairOfGroups) -> dict[str, JsonValue]:
    its = pair.abroca
    said: dict[str, JsonValue] = {"status": its.status}
    if its.value is not None and its.low is not None and its.high is not None and its.p is not None:
        said |= {
            "value": round(its.value, DECIMALS + 1),
            "low": round(its.low, DECIMALS + 1),
            "high": round(its.high, DECIMALS + 1),
            "p": round(its.p, DECIMALS + 1),
            "p_holm": round(its.p if its.p_holm is None else its.p_holm, DECIMALS + 1),
            "resamples": its.resamples,
        }
    return {"first": pair.first, "second": pair.second, "abroca": said}


def _summary(summary: Summary) -> dict[str, JsonValue]:
    numbers = {"value": summary.value, "low": summary.low, "high": summary.high}
    return {
        "status": summary.status,
        "groups": summary.groups,
        "of": summary.shown,
        **{name: round(number, DECIMALS) for name, number in numbers.items() if number is not None},
    }


def _curves(found: Mapping[str, JsonValue] | None) -> dict[str, JsonValue]:
    return {} if found is None else {"curves": {**found}}


def _group(group: Group) -> dict[str, JsonValue]:
    return {
        "group": group.name,
        "status": group.status,
        "students": group.students,
        "scored": group.scored,
        "measures": {name: _estimate(estimate) for name, estimate in group.estimates.items()},
    }


def _estimate(estimate: Estimate) -> dict[str, JsonValue]:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return {"status": estimate.status}
    return {
        "status": estimate.status,
        "value": round(estimate.value, DECIMALS),
        "low": round(estimate.low, DECIMALS),
        "high": round(estimate.high, DECIMALS),
    }


def gaps_json(comparison: Comparison, limits: Mapping[str, float]) -> dict[str, JsonValue]:
    """Return measure -> the widest gap between two groups, with an interval that holds for all pairs."""
    out: dict[str, JsonValue] = {}
    for measure, differences in comparison.differences.items():
        if not differences:
            out[measure] = {"status": "not_estimable", "groups": comparison.estimable(measure)}
            continue
        widest = differences[0]
        out[measure] = {
            "status": "ok",
            "groups": comparison.estimable(measure),
            "value": round(widest.value, DECIMALS),
            "low": round(widest.low, DECIMALS),
            "high": round(widest.high, DECIMALS),
            "higher": comparison.groups[widest.higher].name,
            "lower": comparison.groups[widest.lower].name,
            "told_apart": widest.is_told_apart,
            "limit": limits.get(measure),
        }
    return out


def _departures(comparison: Comparison, limits: Mapping[str, float]) -> dict[str, JsonValue]:
    out: dict[str, JsonValue] = {}
    for measure, departures in comparison.departures.items():
        if not departures:
            out[measure] = {"status": "not_estimable", "groups": comparison.estimable(measure)}
            continue
        out[measure] = {
            "status": "ok",
            "groups": comparison.estimable(measure),
            "limit": limits.get(measure),
            "of": [
                {
                    "group": comparison.groups[d.group].name,
                    "value": round(d.value, DECIMALS),
                    "low": round(d.low, DECIMALS),
                    "high": round(d.high, DECIMALS),
                    "told_apart": d.is_told_apart,
                }
                for d in departures
            ],
        }
    return out
