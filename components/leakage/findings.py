"""What the leakage stage found: findings with their outcome, the verdict over them, and `leakage.json`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from components.artifacts import JsonValue
from components.gate.decision import Finding as Finding
from components.gate.decision import Outcome as Outcome
from components.gate.decision import worst_of

LEAKAGE = "leakage.json"
Verdict = Literal["pass", "warn", "fail"]
PAIRS = ((0, 1), (0, 2), (1, 2))
"""Pairs of splits, the earlier one first: numbers of `components/preprocess/split.py:SPLITS`."""


def leakage_finding(
    measure: str, *, value: float | None, limit: float | None, n: int | None, outcome: Outcome, reason: str
) -> Finding:
    """Return what one check found out about all splits together.

    Args:
        measure: its name.
        value: None where it cannot be told.
        limit: of the configuration.
        n: of what `value` is a count or a share.
        outcome: of the check.
        reason: one sentence, without ids or texts.
    """
    return Finding(
        check="leakage", subject="all", measure=measure, value=value, limit=limit, n=n, outcome=outcome, reason=reason
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What one check found, and its figures for the report."""

    name: str
    findings: tuple[Finding, ...]
    figures: Mapping[str, JsonValue]


def verdict_of(findings: Sequence[Finding]) -> Verdict:
    """Return the worst: `fail` where a finding stops, `warn` where one warns. No finding at all fails."""
    outcome = worst_of(findings)
    return "fail" if outcome == "stop" else outcome


def reasons_of(findings: Sequence[Finding]) -> tuple[str, ...]:
    """Return the sentences of what did not pass, what stops first."""
    return tuple(f.reason for outcome in ("stop", "warn") for f in findings if f.outcome == outcome)


def write_report(folder: Path, checks: Sequence[Check]) -> tuple[Verdict, tuple[str, ...]]:
    """Write `leakage.json` into `folder`; return the verdict and the reasons for it."""
    findings = [one for check in checks for one in check.findings]
    verdict = verdict_of(findings)
    report = {
        "format": 1,
        "verdict": verdict,
        "findings": [one.to_json() for one in findings],
        "checks": {check.name: dict(check.figures) for check in checks},
    }
    text = json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False)
    (folder / LEAKAGE).write_text(text + "\n", encoding="utf-8")
    return verdict, reasons_of(findings)
