"""The gate on groups: whether gaps, departures and levels keep within the limits, in findings and in one verdict.

A gap stops where it is wider than its limit and the interval of the difference lies above 0 (`gap_test = "differs"`),
or, on wish, only where the whole interval lies beyond the limit (`"exceeds"`). A group's departure from what all
students have is judged alike; its level where the whole interval is below the limit. All these intervals hold at once
(`components/fairness/family.py`): where groups do not differ, one report in twenty is stopped by chance, whatever the
number of groups, limits and attributes. A value beyond its limit for which that is not shown is `uncertain`.

The verdict sums it up:

- `fail`: something stops.
- `warn`: a limit is crossed whose severity is `warn`, or the model is useless, whose gaps are small because of that.
- `not_estimable`: a limit could not be judged: fewer than two groups can be estimated, or a value is uncertain.
- `pass`: every value with a limit keeps it, as far as groups are large enough to be judged.
- `no_groups`: there is no attribute to compare by, and none is required.

A pass is a statement about these gaps in these data, not about the model as such, nor about groups too small to see.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from components.errors import ConfigError
from components.fairness.gaps import Departure, Difference
from components.fairness.groups import MAX_GROUPS, UNKNOWN, Comparison
from components.fairness.intersections import readings_of
from components.fairness.limits import DECIMALS, GateConfig
from components.fairness.suppression import SEPARATOR
from components.gate.decision import Finding, Outcome

Verdict = Literal["pass", "fail", "warn", "not_estimable", "no_groups"]
Kind = Literal["gap", "departure", "worst_group"]

MOST_FINDINGS = 10
"""Of one limit and attribute at most so many crossings are listed, the widest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The verdict and one sentence for each thing that led to it or that it leaves out, and all findings."""

    verdict: Verdict
    reasons: tuple[str, ...]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Limit:
    """One limit on one measure."""

    kind: Kind
    measure: str
    limit: float
    severity: Literal["warn", "stop"]


def limits_of(config: GateConfig) -> list[_Limit]:
    """Return the limits that are on."""

    def of(kind: Kind, limits: Mapping[str, float], name: str) -> Iterator[_Limit]:
        for measure, limit in limits.items():
            severity = config.severity_of(name.format(measure))
            yield _Limit(kind=kind, measure=measure, limit=limit, severity=severity)

    return [
        *of("gap", config.gap_limits, "max_{}_gap"),
        *of("departure", config.departure_limits, "max_{}"),
        *of("worst_group", config.level_limits, "min_group_{}"),
    ]


def attributes_to_compare(config: GateConfig, available: Sequence[str]) -> tuple[list[str], list[Finding]]:
    """Return the attributes to compare by, and a finding for each that is missing.

    Args:
        config: names attributes, or none for all that there are.
        available: what the source has.

    Raises:
        ConfigError: an attribute is named that is not there, and neither as required nor as optional.
    """
    wanted = [*(config.attributes or available), *config.required, *config.required_groups, *config.optional]
    wanted = list(dict.fromkeys(wanted))
    lacking = {name: [part for part in _named(name, available) if part not in available] for name in wanted}
    absent = [name for name, parts in lacking.items() if parts]
    required = {*config.required, *config.required_groups}
    named = [name for name in absent if name not in required and name not in config.optional]
    refused = list(dict.fromkeys(part for name in named for part in lacking[name]))
    if refused:
        raise ConfigError(
            f"fairness.attributes names {refused}, which the source does not have; it has {list(available)}. Name "
            "some of these, leave attributes empty for all, or name it in fairness.optional too if it may be missing."
        )
    missing = [
        Finding(
            check="groups",
            subject=name,
            measure="",
            outcome="stop" if name in required else "warn",
            reason=f"{name} is {'required' if name in required else 'optional'}, and the data have no such attribute",
        )
        for name in absent
    ]
    return [name for name in wanted if name not in absent], missing


def parts_of_all(attributes: Sequence[str], available: Sequence[str]) -> list[str]:
    """Return the source's attributes that some attributes and intersections are made of, each once."""
    return list(dict.fromkeys(part for name in attributes for part in _named(name, available)))


def _named(name: str, available: Sequence[str]) -> list[str]:
    readings = readings_of(name, available)  # of several, the tables say that they are
    return list(readings[0]) if readings else name.split(SEPARATOR)


def judge(
    comparisons: Mapping[str, Comparison],
    config: GateConfig,
    missing: Sequence[Finding] = (),
    *,
    useless: str | None = None,
) -> Judgement:
    """Return the verdict over all attributes and limits.

    Args:
        comparisons: attribute -> its groups, from `jointly`.
        config: the limits, and the confidence that the intervals have.
        missing: findings on attributes that are not there.
        useless: the sentence that names the model as useless, if it is: its small gaps are no pass.
    """
    limits = limits_of(config)
    found = _Found(stops=[], crossed=[], unclear=[], notes=[], passes=[])
    for finding in missing:
        (found.stops if finding.outcome == "stop" else found.notes).append(finding)
    if useless is not None:
        found.crossed.append(Finding(check="level", subject="all", measure="", outcome="warn", reason=useless))
    absent = {finding.subject for finding in missing}
    for name in dict.fromkeys([*config.required, *config.required_groups]):
        if name not in comparisons and name not in absent:
            found.stops.append(_note(name, f"{name} is required, and no group of it was compared", "stop"))
    if not comparisons:
        found.notes.append(_note("all", "the logs have no group attribute to compare by: nothing was judged by group"))
    elif not limits:
        found.notes.append(_note("all", "no limit is set, so nothing was judged"))
    for attribute, comparison in comparisons.items():
        _judge_sizes(attribute, comparison, config, limits, found)
        for limit in limits:
            if _can_be_judged(attribute, comparison, config, limit, found):
                _judge_limit(attribute, comparison, config, limit, found)
    verdict: Verdict
    if found.stops:
        verdict = "fail"
    elif not comparisons:
        verdict = "no_groups"
    else:
        verdict = "warn" if found.crossed else "not_estimable" if found.unclear else "pass"
    told = (*found.stops, *found.crossed, *found.unclear, *found.notes)
    return Judgement(verdict=verdict, reasons=tuple(f.reason for f in told), findings=(*told, *found.passes))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """Findings by what they mean for the verdict."""

    stops: list[Finding]
    crossed: list[Finding]
    unclear: list[Finding]
    notes: list[Finding]
    passes: list[Finding]


def _note(subject: str, reason: str, outcome: Literal["warn", "stop"] = "warn", measure: str = "") -> Finding:
    return Finding(check="groups", subject=subject, measure=measure, outcome=outcome, reason=reason)


def _judge_sizes(
    attribute: str, comparison: Comparison, config: GateConfig, limits: Sequence[_Limit], found: _Found
) -> None:
    """Say how many groups are too small, and stop where one of them is required; too small a group is never named."""
    small = sum(g.status != "ok" for g in comparison.groups)
    if small:
        found.notes.append(
            _note(
                attribute,
                f"{attribute}: {small} of {len(comparison.groups)} groups have fewer than {config.min_students} "
                f"students or {config.min_scored} scored answers and were not judged",
            )
        )
    needed = config.required_groups.get(attribute, ())
    judged = {
        g.name
        for g in comparison.groups
        if g.status == "ok" and all(g.estimates[limit.measure].status == "ok" for limit in limits)
    }
    lacking = len(set(needed) - judged)
    if lacking:
        found.stops.append(
            _note(
                attribute,
                f"{attribute}: {lacking} of {len(set(needed))} required groups are missing or too small to be judged",
                "stop",
            )
        )
    elif (attribute in config.required or needed) and len(judged - {UNKNOWN}) < 2:
        found.stops.append(
            _note(attribute, f"{attribute}: fewer than two known groups can be judged, and it is required", "stop")
        )


def _can_be_judged(attribute: str, comparison: Comparison, config: GateConfig, limit: _Limit, found: _Found) -> bool:
    """Return whether there are groups to judge a limit by, and say so where there are not, or not all."""
    measure, estimable = limit.measure, comparison.estimable(limit.measure)
    groups, shown = len(comparison.groups), sum(g.status == "ok" for g in comparison.groups)
    reason = ""
    if estimable > MAX_GROUPS:
        reason = f"{attribute}: {measure} has {estimable} groups, at most {MAX_GROUPS} are compared"
        reason += "; give a coarser attribute"
    elif estimable < 2:
        reason = f"{attribute}: {measure} can be estimated in {estimable} of {groups} groups; a gap needs two"
    elif estimable < shown:
        note = f"{attribute}: {measure} can be estimated in {estimable} of {shown} groups of enough size"
        found.notes.append(_note(attribute, note, measure=measure))
    if reason:
        stops = attribute in config.required or attribute in config.required_groups
        finding = _note(attribute, reason, "stop" if stops else "warn", measure)
        (found.stops if stops else found.unclear).append(finding)
    return not reason


def _judge_limit(attribute: str, comparison: Comparison, config: GateConfig, limit: _Limit, found: _Found) -> None:
    """Judge one limit on one attribute."""
    values: Sequence[Difference | Departure]
    if limit.kind == "gap":
        values = comparison.differences[limit.measure]
    else:
        values = (comparison.levels if limit.kind == "worst_group" else comparison.departures)[limit.measure]
    wide = [v for v in values if _is_beyond(v, limit)]
    sure = [v for v in wide if _is_shown(v, limit, config.gap_test)]

    def finding(value: Difference | Departure, outcome: Outcome, more: str = "") -> Finding:
        return _finding(attribute, comparison, config, limit, value, outcome, more)

    if sure:
        kept, left = sure[:MOST_FINDINGS], len(sure) - MOST_FINDINGS
        crossings = [finding(v, limit.severity) for v in kept[:-1]]
        crossings.append(finding(kept[-1], limit.severity, f"; and {left} more" if left > 0 else ""))
        (found.stops if limit.severity == "stop" else found.crossed).extend(crossings)
    elif wide:
        outcome: Outcome = "stop" if limit.severity == "stop" and config.uncertain == "stop" else "warn"
        unclear = finding(wide[0], outcome, f", but {_doubt(limit, config)}")
        (found.stops if outcome == "stop" else found.unclear).append(unclear)
    else:
        found.passes.append(finding(values[0], "pass", _left_open(values, limit)))


def _is_beyond(value: Difference | Departure, limit: _Limit) -> bool:
    return value.value < limit.limit if limit.kind == "worst_group" else abs(value.value) > limit.limit


def _is_shown(value: Difference | Departure, limit: _Limit, test: Literal["differs", "exceeds"]) -> bool:
    """Return whether a value beyond its limit is told apart from what is allowed."""
    if limit.kind == "worst_group":
        return value.high < limit.limit
    if test == "differs":
        return value.is_told_apart
    return value.low > limit.limit or value.high < -limit.limit


def _doubt(limit: _Limit, config: GateConfig) -> str:
    if limit.kind == "worst_group" or config.gap_test == "exceeds":
        return "the interval reaches the limit: chance may have made it"
    return "the interval reaches 0: chance may have made the gap"


def _left_open(values: Sequence[Difference | Departure], limit: _Limit) -> str:
    """Return what a pass does not rule out."""
    if limit.kind == "worst_group":
        return "; the interval does not rule out less" if any(v.low < limit.limit for v in values) else ""
    if any(max(v.high, -v.low) > limit.limit for v in values):
        return "; the intervals do not rule out more than the limit"
    return ""


def _finding(
    attribute: str,
    comparison: Comparison,
    config: GateConfig,
    limit: _Limit,
    value: Difference | Departure,
    outcome: Outcome,
    more: str,
) -> Finding:
    measure = limit.measure
    if isinstance(value, Difference):
        groups = (comparison.groups[value.higher], comparison.groups[value.lower])
        said = f"{measure} is {value.value:.3f} higher for {groups[0].name!r} than for {groups[1].name!r}"
    else:
        groups = (comparison.groups[value.group],) * 2
        said = f"{measure} is {value.value:+.3f} for {groups[0].name!r}, where all together have 0"
        if limit.kind == "worst_group":
            said = f"{measure} is {value.value:.3f} for {groups[0].name!r}"
    bound = f"the limit is {'at least ' if limit.kind == 'worst_group' else ''}{limit.limit:g}"
    return Finding(
        check=limit.kind,
        subject=f"{attribute}: {' vs '.join(dict.fromkeys(g.name for g in groups))}",
        measure=measure,
        value=round(value.value, DECIMALS),
        low=round(value.low, DECIMALS),
        high=round(value.high, DECIMALS),
        limit=limit.limit,
        n=min(g.students or 0 for g in groups),
        outcome=outcome,
        reason=f"{attribute}: {said} ({config.confidence * 100:g}% interval {value.low:.3f} to {value.high:.3f}), "
        f"{bound}{more}",
    )
