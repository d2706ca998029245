"""The gate's decision, first on the page: pass, warn or stop, each reason in a sentence, and an override."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flows.reporting.contents import Contents
from flows.reporting.words import capital

ORDER = ("stop", "warn", "pass")
HEADINGS = {
    "pass": "Pass",
    "warn": "Pass, with warnings",
    "stop": "Stop",
    "none": "No decision of the gate is recorded",
}
MEANINGS = {
    "pass": "Every limit that is set was judged and kept.",
    "warn": "No limit was broken for certain, but somebody should look at the warnings before relying on this release.",
    "stop": "This release must not serve: at least one limit is broken, or could not be judged.",
    "none": "Nothing below says that this release may serve; what the stages found stands in their sections.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the first box of the page says."""

    outcome: str
    """`pass`, `warn`, `stop`, or `none` where no decision is recorded."""
    heading: str
    meaning: str
    reasons: Mapping[str, Sequence[str]]
    """Outcome -> sentences, the worst outcome first."""
    override: Mapping[str, Any] | None  # Any: parsed JSON


def verdict_of(contents: Contents) -> Verdict:
    """Return the verdict. A decision whose outcome is not known reads `stop`: it fails closed, on the page too."""
    gate = contents.summary.get("gate")
    if not isinstance(gate, Mapping):
        fairness = contents.summary.get("fairness", {})
        said = f"The fairness verdict is {fairness.get('verdict', 'unknown')}".replace("_", " ") + "."
        reasons = {"none": [said, *(f"{capital(reason)}." for reason in fairness.get("reasons", []))]}
        return Verdict(
            outcome="none", heading=HEADINGS["none"], meaning=MEANINGS["none"], reasons=reasons, override=None
        )
    outcome = gate.get("outcome")
    outcome = outcome if outcome in ORDER else "stop"
    found: dict[str, list[str]] = {one: [] for one in ORDER}
    for finding in gate.get("findings", []):
        its = finding.get("outcome")
        found[its if its in ORDER else "stop"].append(sentence(finding))
    if not any(found.values()):
        found[outcome].append("The decision names no finding.")
    return Verdict(
        outcome=outcome,
        heading=HEADINGS[outcome],
        meaning=MEANINGS[outcome],
        reasons={one: lines for one, lines in found.items() if lines},
        override=gate.get("override"),
    )


def sentence(finding: Mapping[str, Any]) -> str:  # Any: parsed JSON
    """Return a finding's reason as a sentence."""
    text = str(finding.get("reason", "")).strip() or f"{finding.get('check', 'a check')} says nothing more"
    return capital(text) + ("" if text.endswith((".", "!", "?")) else ".")
