"""One change of the champion, as the history tells it."""

from dataclasses import dataclass
from typing import Any, Literal

from components.gate.override import Override

STAMP = "%Y%m%dT%H%M%S.%fZ"
"""How times are written in the log and in decisions: UTC, microseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """One change of what serves."""

    version: str
    artifact: str
    """SHA-256 of the Release artifact."""
    since: str
    """When, in UTC."""
    reason: str
    action: Literal["promote", "rollback"]
    follows: str | None = None
    """In entries from before the log: `since` of the change before it, empty for the first; older ones did not say."""
    override: Override | None = None
    """A person's word that let the release through the gate."""
    by: str | None = None
    """Who, or which run; entries from before the log did not say."""
    decision: str | None = None
    """SHA-256 of the decision document; None where there was none, or before the log."""
    number: int | None = None
    """Of its entry in the log; None for what was before the log."""

    def to_json(self) -> dict[str, Any]:  # Any: parsed JSON
        """Return the fields as plain JSON values."""
        return {
            "version": self.version,
            "artifact": self.artifact,
            "since": self.since,
            "reason": self.reason,
            "action": self.action,
            "follows": self.follows,
            "override": None if self.override is None else self.override.to_json(),
            "by": self.by,
            "decision": self.decision,
            "number": self.number,
        }

    @classmethod
    def from_json(cls, value: Any) -> "Pointer":  # Any: parsed JSON
        """Rebuild from `to_json`'s value; fields that came later may be missing."""
        override = value.get("override")
        return cls(
            version=value["version"],
            artifact=value["artifact"],
            since=value["since"],
            reason=value["reason"],
            action=value["action"],
            follows=value.get("follows"),
            override=None if override is None else Override.from_json(override),
            by=value.get("by"),
            decision=value.get("decision"),
            number=value.get("number"),
        )
