"""The report in half a page of Markdown, for places that show no HTML: the decision, the headline, what was limited."""

from collections.abc import Mapping
from typing import Any

from flows.reporting.estimates import number, shown
from flows.reporting.verdict import HEADINGS, ORDER, sentence
from flows.reporting.words import check_name, titled

MOST = 20
"""So many findings are listed, the worst first; the report has all."""


def short_report(summary: Mapping[str, Any]) -> str:  # Any: parsed JSON
    """Return Markdown.

    Args:
        summary: `RunSummary.to_json()`.
    """
    gate = summary.get("gate")
    findings = sorted(gate.get("findings", []), key=_rank) if isinstance(gate, Mapping) else []
    outcome = gate.get("outcome") if isinstance(gate, Mapping) else "none"
    release = summary["release"]
    served = "current" if release["promoted"] else release.get("status", "not promoted")
    lines = [
        f"# {HEADINGS.get(str(outcome), HEADINGS['stop'])}",
        "",
        f"Release `{release['version']}`: {served} ({_cell(release['reason'])}).",
    ]
    if reason := summary.get("request", {}).get("reason"):
        lines += ["", f"Why it ran: {_cell(reason)}."]
    override = gate.get("override") if isinstance(gate, Mapping) else None
    if override:
        by, reason = (_cell(override.get(name) or "") for name in ("by", "reason"))
        until = f" (until {_cell(override['until'])})" if override.get("until") else ""
        lines += ["", f"**Overridden** by {by or 'somebody'}: {reason}{until}"]
    lines += ["", "| figure | value | interval |", "|---|---|---|"]
    for name, figure in summary["metrics"].items():
        ends = figure.get("interval")
        interval = f"{shown(ends[0])} to {shown(ends[1])}" if ends else "not estimable"
        lines.append(f"| {titled(name)} | {shown(number(figure['value']))} | {interval} |")
    if findings:
        lines += ["", "| outcome | what | of | reason |", "|---|---|---|---|"]
        for one in findings[:MOST]:
            what = (
                one.get("outcome"),
                check_name(str(one.get("check", ""))),
                one.get("subject") or "all",
                sentence(one),
            )
            lines.append(f"| {' | '.join(_cell(cell) for cell in what)} |")
        if len(findings) > MOST:
            lines += ["", f"And {len(findings) - MOST} more, in the report."]
    else:
        verdict = summary["fairness"]
        lines += ["", f"Fairness verdict: {str(verdict['verdict']).replace('_', ' ')}."]
        lines += [f"- {_cell(reason)}" for reason in verdict["reasons"]]
    lines += ["", f"The whole report: `{summary['report']}`"]
    return "\n".join(lines) + "\n"


def _rank(finding: Mapping[str, Any]) -> int:
    outcome = finding.get("outcome")
    return ORDER.index(outcome) if outcome in ORDER else 0


def _cell(value: object) -> str:
    """Return text that stays in its cell of a table and cannot become a link or markup."""
    text = " ".join(str(value).split())
    for letter in "\\`*_[]<>|":
        text = text.replace(letter, f"\\{letter}")
    return text
