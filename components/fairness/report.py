"""What `groups.json` says: every group with its size, measures and intervals, the widest gaps, and the verdict.

Of groups that are too small only how many there are: the name of a group of one may be the name of that one.
"""

from collections.abc import Mapping

from components.artifacts import JsonValue
from components.fairness.config import FairnessConfig
from components.fairness.gate import Judgement, limits_of
from components.fairness.groups import Comparison, Estimate, Group
from components.fairness.measures import MEANINGS

DECIMALS = 3
"""More would let a hidden group be worked out from totals; see `components/fairness/groups.py`."""


def report_json(
    comparisons: Mapping[str, Comparison], judgement: Judgement, config: FairnessConfig, *, protocol: str
) -> dict[str, JsonValue]:
    """Return the contents of `groups.json`."""
    measures: dict[str, JsonValue] = {**MEANINGS}
    limits: dict[str, JsonValue] = {**limits_of(config)}
    return {
        "format": 1,
        "verdict": judgement.verdict,
        "reasons": [*judgement.reasons],
        "protocol": protocol,
        "measures": measures,
        "limits": limits,
        "sizes": {
            "min_students": config.min_students,
            "min_scored": config.min_scored,
            "min_rarer_class": config.min_rarer_class,
        },
        "bootstrap": {
            "unit": "student",
            "resamples": config.resamples,
            "confidence": config.confidence,
            "seed": config.seed,
            "gaps": "simultaneous over all pairs of groups",
        },
        "attributes": {
            name: {
                "groups": [_group(g) for g in comparison.groups if g.status == "ok"],
                "too_few": sum(g.status != "ok" for g in comparison.groups),
                "gaps": _gaps(comparison, limits_of(config)),
            }
            for name, comparison in comparisons.items()
        },
    }


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


def _gaps(comparison: Comparison, limits: Mapping[str, float]) -> dict[str, JsonValue]:
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
