"""What a model card says of groups: the measures that have limits, each with its interval, and what was judged."""

from collections.abc import Mapping
from typing import Any

MOST_GROUPS = 40
"""So many groups of an attribute are listed; `fairness.json` in the bundle has all."""
WORDS = {"too_few": "too few", "suppressed": "not shown"}

Plain = Mapping[str, Any]  # parsed JSON


def groups_in_markdown(groups: Plain, headline: str) -> str:
    """Return the card's section on groups, in Markdown.

    Groups that are too small are counted and never named.

    Args:
        groups: the fairness stage's `groups.json`.
        headline: the metric that decides between releases; shown beside the measures with limits.
    """
    out = ["## By group", ""]
    attributes: Plain = groups.get("attributes", {})
    if groups.get("useless"):
        out += [str(groups["useless"]), ""]
    if not attributes:
        out += ["The data have no group attribute: nothing is known about how groups of students are served.", ""]
    limits: Plain = groups.get("limits", {})
    for name, found in attributes.items():
        shown = [group for group in found.get("groups", []) if group.get("status", "ok") == "ok"]
        measures = [m for m in groups.get("measures", {}) if m in limits or m == headline]
        out += _table(name, shown, measures)
        gaps = [_gap(measure, found.get("gaps", {}).get(measure)) for measure in measures]
        out += [" ".join(gap for gap in gaps if gap), ""]
        if found.get("too_few"):
            out += [f"Groups of {_cell(name)} with too few students or answers to be shown: {found['too_few']}.", ""]
    findings = groups.get("findings", [])
    if findings:
        out += ["What was judged:", ""]
        out += [f"- {_cell(one.get('outcome'))}: {_cell(one.get('reason'))}" for one in findings]
        out += [""]
    out += [
        "These figures speak of these students and of these measures. Equal figures do not show that a model is fair, "
        "and a figure that could not be estimated shows nothing. Whether this release may serve is decided after this "
        "card is written: the decision stands in the release's record and in the report of its run."
    ]
    return "\n".join(out).rstrip() + "\n"


def _table(attribute: str, groups: list[Plain], measures: list[str]) -> list[str]:
    if not groups:
        return [f"No group of {_cell(attribute)} is large enough to be shown.", ""]
    title = _cell(attribute.replace("_", " "))
    lines = [
        f"| {title} | students | {' | '.join(m.replace('_', ' ') for m in measures)} |",
        "|---|---|" + "---|" * len(measures),
    ]
    for group in groups[:MOST_GROUPS]:
        cells = [_estimate(group.get("measures", {}).get(measure)) for measure in measures]
        lines.append(f"| {_cell(group['group'])} | {group.get('students', '')} | {' | '.join(cells)} |")
    if len(groups) > MOST_GROUPS:
        lines += ["", f"And {len(groups) - MOST_GROUPS} more groups."]
    return [*lines, ""]


def _estimate(found: Plain | None) -> str:
    if not found or found.get("status") != "ok":
        return WORDS.get(str((found or {}).get("status")), "not estimable")
    value, low, high = (round(found[name], 3) + 0.0 for name in ("value", "low", "high"))  # no -0.000
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


def _gap(measure: str, gap: Plain | None) -> str:
    if not gap:
        return ""
    title = measure.replace("_", " ")
    if gap.get("status") != "ok":
        return f"Gap of {title}: {WORDS.get(str(gap.get('status')), 'not estimable')}."
    limit = f", limit {gap['limit']:g}" if gap.get("limit") else ""
    return f"Widest gap of {title}: {gap['value']:.3f} ({gap['low']:.3f} to {gap['high']:.3f}){limit}."


def _cell(text: object) -> str:
    """Return text that stays in its cell and its line."""
    return " ".join(str(text).replace("|", "/").split())
