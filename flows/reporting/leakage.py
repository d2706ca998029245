"""Whether the held-out students were known before: the leakage stage's findings and counts."""

from dataclasses import dataclass

from flows.reporting.contents import Contents
from flows.reporting.estimates import number
from flows.reporting.limits import Judged, judged

CHECKS = {
    "students": "The same student in several splits",
    "texts": "The same or nearly the same text in several splits",
    "time": "Training data from after what is predicted",
    "protocol": "Rows that show the answer of the next",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Leakage:
    """The section."""

    outcome: str
    findings: tuple[Judged, ...]
    checks: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    """Title of each check, and what it counted."""


def leakage_of(contents: Contents) -> Leakage | None:
    """Return the section; None where no leakage stage ran."""
    found = contents.leakage
    if found is None:
        return None
    verdict = str(found.get("verdict", ""))
    return Leakage(
        outcome={"pass": "pass", "warn": "warn"}.get(verdict, "stop"),
        findings=tuple(judged(finding) for finding in found.get("findings", [])),
        checks=tuple(
            (CHECKS.get(name, name.replace("_", " ")), tuple(_counts(counts)))
            for name, counts in found.get("checks", {}).items()
        ),
    )


def _counts(counts: object, prefix: str = "") -> list[tuple[str, str]]:
    """Return numbers and words with their names; of nested objects each with the names of those around it."""
    if not isinstance(counts, dict):
        return []
    found: list[tuple[str, str]] = []
    for name, value in counts.items():
        title = f"{prefix}{str(name).replace('_', ' ')}"
        amount = number(value)
        if isinstance(value, dict):
            found += _counts(value, f"{title}: ")
        elif amount is not None:
            found.append((title, f"{amount:,.6g}"))
        elif isinstance(value, bool | str):
            found.append(
                (title, {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else value)
            )
        elif value is None:
            found.append((title, "not known"))
    return found
