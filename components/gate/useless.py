"""What follows where a report calls a model useless: the sentences begin so, here and in reports of before."""

from collections.abc import Container, Iterable, Mapping
from typing import Any, Literal

from components.gate.decision import Finding

AT_THRESHOLD = "The model is useless at the threshold"
"""How the sentence on a model begins that ranks answers, but is a constant to whoever cuts at the threshold."""
Severity = Literal["warn", "stop"]


def own_findings(
    report: Mapping[str, Any],  # Any: parsed JSON
    findings: Iterable[Finding],
    measure: str,
    useless: Severity,
    told: Container[str] = (),
) -> list[Finding]:
    """Return the findings of a report, with one on a model that it calls useless, unless another report did already.

    A model that is useless at the threshold alone, but ranks answers, gives a warning: nobody need cut at it.

    Args:
        report: may have `useless`, the sentence that names the model as such.
        findings: of the report; what they say of it themselves is left out.
        measure: of the finding.
        useless: what follows.
        told: reasons of the findings of other reports.
    """
    sentence = report.get("useless")
    if not isinstance(sentence, str):
        return list(findings)
    outcome = "warn" if sentence.startswith(AT_THRESHOLD) else useless
    rest = [f for f in findings if f.reason != sentence]
    if sentence not in told:
        rest.append(Finding(check="level", subject="all", measure=measure, outcome=outcome, reason=sentence))
    return rest
