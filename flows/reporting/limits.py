"""The table of limits: what was judged, the value and its interval, the limit and the outcome."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from flows.reporting.contents import Contents
from flows.reporting.estimates import number, shown
from flows.reporting.verdict import ORDER
from flows.reporting.words import SIGNED, check_name, titled


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One line of the table, in words."""

    check: str
    subject: str
    measure: str
    value: str
    interval: str
    limit: str
    n: str
    outcome: str
    reason: str


def findings_of(contents: Contents) -> list[Mapping[str, Any]]:  # Any: parsed JSON
    """Return the findings of the decision; without one, those that the stages made of their own limits."""
    gate = contents.summary.get("gate")
    if isinstance(gate, Mapping):
        return list(gate.get("findings", []))
    parts: Iterable[Mapping[str, Any] | None] = (contents.metrics, contents.groups, contents.leakage)
    return [finding for part in parts if part is not None for finding in part.get("findings", [])]


def limits_of(contents: Contents) -> list[Judged]:
    """Return the table, what is worst first."""
    findings = findings_of(contents)
    rank = {outcome: at for at, outcome in enumerate(ORDER)}
    return [judged(finding) for finding in sorted(findings, key=lambda one: rank.get(one.get("outcome", ""), 0))]


def judged(finding: Mapping[str, Any]) -> Judged:  # Any: parsed JSON
    """Return a finding as a line of the table."""
    measure = str(finding.get("measure") or "")
    signed = measure in SIGNED or finding.get("check") in {"departure", "non_inferiority"}
    value, low, high = (number(finding.get(name)) for name in ("value", "low", "high"))
    limit, n = number(finding.get("limit")), number(finding.get("n"))
    outcome = finding.get("outcome")
    return Judged(
        check=check_name(str(finding.get("check", ""))),
        subject=str(finding.get("subject") or "all"),
        measure=titled(measure),
        value="" if value is None and limit is None else shown(value, signed=signed),
        interval="" if low is None or high is None else f"{shown(low, signed=signed)} to {shown(high, signed=signed)}",
        limit="" if limit is None else f"{limit:g}".replace("-", "\N{MINUS SIGN}"),
        n="" if n is None else f"{n:,.0f}",
        outcome=outcome if outcome in ORDER else "stop",
        reason=str(finding.get("reason", "")),
    )
