"""What the gate found out about a release, and what follows: findings, each with a reason, and one decision of them.

Fails closed: a decision without findings is a stop, and so is one with a finding that cannot be read.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Literal, Self, get_args

from components.artifacts import JsonValue, digest_of
from components.errors import SchemaError
from components.gate.override import Override

FORMAT = 2
"""Version of a decision's record. Readers accept every version up to this one."""

Check = Literal[
    "level",
    "gap",
    "worst_group",
    "departure",
    "non_inferiority",
    "leakage",
    "groups",
    "freshness",
    "data",
    "parity",
    "replay",
    "latency",
    "approval",
    "error",
]
Outcome = Literal["pass", "warn", "stop"]
Status = Literal["promoted", "stopped", "waits for approval", "not promoted"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
"""From the best to the worst."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at. The reason is one sentence without ids of students, also where all is well."""

    check: Check
    subject: str
    """Whom it is about: `all`, an attribute, or two of its groups: `gender: F vs M`."""
    measure: str
    value: float | None = None
    low: float | None = None
    """Lower end of the interval of `value`."""
    high: float | None = None
    limit: float | None = None
    n: int | None = None
    """Students that `value` rests on; of two groups, those of the smaller one."""
    outcome: Outcome
    reason: str

    def __post_init__(self) -> None:
        problems = []
        if self.check not in get_args(Check):
            problems.append(f"check is {self.check!r}; expected one of {', '.join(get_args(Check))}")
        if self.outcome not in OUTCOMES:
            problems.append(f"outcome is {self.outcome!r}; expected one of {', '.join(OUTCOMES)}")
        if not self.reason.strip():
            problems.append("reason is empty; expected a sentence")
        for name in ("value", "low", "high", "limit"):
            number = getattr(self, name)
            if number is not None and not math.isfinite(number):
                problems.append(f"{name} is {number}; expected a finite number, or None where it cannot be estimated")
        if problems:
            raise ValueError(f"A finding on {self.subject!r} makes no sense: {'; '.join(problems)}.")

    def to_json(self) -> dict[str, JsonValue]:
        """Return the fields as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`'s value; fields that are not known here are left out.

        Raises:
            SchemaError: it is no finding that this homeroom can read.
        """
        try:
            known = {name: value[name] for name in cls.__dataclass_fields__ if name in value}
            return cls(**known)
        except (TypeError, ValueError, AttributeError) as error:
            raise SchemaError(
                f"A finding of the gate cannot be read ({type(error).__name__}): expected the fields "
                f"{', '.join(cls.__dataclass_fields__)}. Make the report again, or upgrade homeroom."
            ) from error


def worst_of(findings: Iterable[Finding]) -> Outcome:
    """Return the worst outcome among the findings; without any it is a stop, as nothing was judged."""
    return max((finding.outcome for finding in findings), key=OUTCOMES.index, default="stop")


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Return the findings by outcome, the worst first, else in their order."""
    return sorted(findings, key=lambda f: -OUTCOMES.index(f.outcome))


def findings_to_json(findings: Iterable[Finding]) -> list[JsonValue]:
    """Return the findings as plain JSON values, the worst first."""
    return [f.to_json() for f in worst_first(findings)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whether a release takes over, why, and everything that was found on the way."""

    application: str
    version: str
    promote: bool
    """Whether it serves from now on (or did already)."""
    reason: str
    """In a sentence for the record."""
    findings: tuple[Finding, ...] = ()
    champion: str | None = None
    """Version of what served when this was decided."""
    override: Override | None = None
    """A person's word that lets a stopped release through, until it expires."""
    covered: tuple[str, ...] | None = None
    """Which stops the override's author saw (`stops`); None where they are those of this very decision."""
    decided: str = ""
    """When, in UTC; set by whoever records it."""
    by: str = ""
    """Who: `run <id>`, or a person's name; empty in decisions of homeroom 0.1."""
    needs: int = 0
    """How many people must approve before the release serves."""
    until: str = ""
    """The last day, in UTC, on which they can; afterwards the decision reads as no. Empty where it does not wait."""
    approvals: tuple[Mapping[str, Any], ...] = ()
    """What people said to it (components/gate/approval.py), signed, as it was given; `approved_by` counts."""

    @property
    def outcome(self) -> Outcome:
        """The worst outcome of all findings; an override does not change what was found."""
        return worst_of(self.findings)

    @property
    def status(self) -> Status:
        """What came of it, in a word. One that waited too long still says that it waits: ask `can_be_approved`."""
        if self.promote:
            return "promoted"
        if self.outcome == "stop" and self.override is None:
            return "stopped"
        return "waits for approval" if self.until else "not promoted"

    @property
    def digest(self) -> str:
        """SHA-256 of the document as it is stored: what the log names, and what approvals sign."""
        return digest_of(self.to_json())

    def can_be_approved(self, today: date) -> bool:
        """Return whether it waits for approval on this day; a day that cannot be read is over."""
        try:
            return self.status == "waits for approval" and today <= date.fromisoformat(self.until)
        except ValueError:
            return False

    def lets_through(self, today: date) -> bool:
        """Return whether the release may serve: the gate did not stop it, or an override counts on this day.

        An override lets through what its author saw; a stop that was found since is not covered.
        """
        return self.outcome != "stop" or (
            self.override is not None and self.override.counts_on(today) and not self.uncovered()
        )

    def stops(self) -> tuple[str, ...]:
        """Return what stops the release, each by what tells it from others: not by figures, which may change."""
        return tuple(self._name(f) for f in self.findings if f.outcome == "stop")

    def uncovered(self) -> list[Finding]:
        """Return the findings that stop the release and that its override's author did not see; all without one."""
        seen = self.seen() or ()
        return [f for f in self.findings if f.outcome == "stop" and self._name(f) not in seen]

    def seen(self) -> tuple[str, ...] | None:
        """Return which stops the override's author saw; None where there is no override."""
        if self.override is None:
            return None
        return self.stops() if self.covered is None else self.covered

    def _name(self, finding: Finding) -> str:
        more = ""
        if finding.check == "non_inferiority":  # worse than another champion is another matter
            more = self.champion or ""
        elif finding.check in {"error", "approval"}:  # of a no: who said it, and why; the measure says to what
            more = finding.reason
        return " | ".join((finding.check, finding.subject, finding.measure, more))

    def reasons(self, *outcomes: Outcome) -> list[str]:
        """Return the reasons of the findings with these outcomes (all of them where none is named), worst first."""
        wanted = outcomes or OUTCOMES
        return [f.reason for f in worst_first(self.findings) if f.outcome in wanted]

    def gate_json(self) -> dict[str, JsonValue]:
        """Return what a run's summary says of the gate."""
        return {
            "outcome": self.outcome,
            "findings": findings_to_json(self.findings),
            "override": None if self.override is None else self.override.to_json(),
            **({} if self.covered is None else {"covered": list(self.covered)}),
        }

    def to_json(self) -> dict[str, JsonValue]:
        """Return the decision as plain JSON values."""
        return {
            "format": FORMAT,
            "application": self.application,
            "version": self.version,
            "decided": self.decided,
            "champion": self.champion,
            "status": self.status,
            "promote": self.promote,
            "reason": self.reason,
            "by": self.by,
            "needs": self.needs,
            "until": self.until,
            "approvals": [dict(one) for one in self.approvals],
            **self.gate_json(),
        }

    @classmethod
    def from_json(cls, value: Any) -> Self:  # Any: parsed JSON
        """Rebuild from `to_json`'s value.

        Raises:
            SchemaError: it is no decision that this homeroom can read.
        """
        try:
            if int(value["format"]) > FORMAT:
                raise SchemaError(
                    f"A decision has format {value['format']}; this homeroom reads formats up to {FORMAT}. Upgrade it."
                )
            override, covered = value["override"], value.get("covered")
            if covered is not None and not (isinstance(covered, list) and all(isinstance(c, str) for c in covered)):
                raise TypeError("covered is no list of texts")
            return cls(
                application=value["application"],
                version=value["version"],
                promote=value["promote"],
                reason=value["reason"],
                findings=findings_of(value),
                champion=value["champion"],
                override=None if override is None else Override.from_json(override),
                covered=None if covered is None else tuple(covered),
                decided=value["decided"],
                by=value.get("by", ""),
                needs=value.get("needs", 0),
                until=value.get("until", ""),
                approvals=tuple(value.get("approvals", ())),
            )
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, SchemaError):
                raise
            raise SchemaError(
                f"A decision of the gate cannot be read ({type(error).__name__}: {error}). Have it made again by a run."
            ) from error


def findings_of(report: Mapping[str, Any]) -> tuple[Finding, ...]:
    """Return the findings of a report (`groups.json`, `metrics.json`, `leakage.json`), read strictly.

    Raises:
        SchemaError: there is no list of findings, or one of them cannot be read.
    """
    found = report.get("findings")
    if not isinstance(found, Sequence) or isinstance(found, str):
        raise SchemaError("A report has no list of findings; it is of an older homeroom. Run its stage again.")
    return tuple(Finding.from_json(one) for one in found)
