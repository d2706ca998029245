"""An entry of the log: who changed what, when and why, and the whole state of an application's slots afterwards."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from components.artifacts import JsonValue
from components.errors import ConfigError
from components.gate.override import Override
from serving.registry.pointer import Pointer

FORMAT = 1
"""Version of an entry. Readers accept every version up to this one."""
Action = Literal["promote", "rollback", "challenge", "canary", "shadow", "withdraw"]
CHANGES_CHAMPION: frozenset[Action] = frozenset({"promote", "rollback"})
_ABOUT: Mapping[Action, Literal["champion", "challenger"]] = {
    "promote": "champion",
    "rollback": "champion",
    "challenge": "challenger",
    "canary": "challenger",
}
"""The slot that the decision and the override of an entry are about."""
_VERSION = re.compile(r"[a-z][a-z0-9_]*-[0-9a-f]{12}")
_HEX64 = re.compile(r"[0-9a-f]{64}")


class EntryUnreadableError(ValueError):
    """An entry's bytes are no entry that this homeroom can read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A release in a place where it answers."""

    version: str
    artifact: str
    """SHA-256 of the Release artifact."""
    decision: str | None = field(default=None, compare=False)
    """SHA-256 of the decision document that let it into this place."""
    override: Override | None = field(default=None, compare=False)
    """A person's word that did."""

    def __post_init__(self) -> None:
        if not _VERSION.fullmatch(self.version) or not _HEX64.fullmatch(self.artifact):
            raise ValueError(
                f"A slot holds version {self.version!r} and artifact {self.artifact!r}; expected "
                "`<application>-<12 hex digits>` and 64 hex digits."
            )

    def to_json(self) -> dict[str, JsonValue]:
        """Return the fields as plain JSON values; `decision` and `override` only where there is one."""
        value: dict[str, JsonValue] = {"version": self.version, "artifact": self.artifact}
        if self.decision is not None:
            value["decision"] = self.decision
        if self.override is not None:
            value["override"] = dict(self.override.to_json())
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Challenger(Slot):
    """A release that answers a share of the students, as a canary."""

    percent: int
    """Share of the students, from 1 to 99."""

    def __post_init__(self) -> None:
        Slot.__post_init__(self)
        if isinstance(self.percent, bool) or not isinstance(self.percent, int) or not 1 <= self.percent <= 99:
            raise ConfigError(
                f"A canary's share is {self.percent!r} percent; expected a whole number from 1 to 99. To give a "
                "release all students, promote it; to give it none, withdraw it."
            )

    def to_json(self) -> dict[str, JsonValue]:
        """Return the fields as plain JSON values."""
        return {**Slot.to_json(self), "percent": self.percent}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a writer wants the next entry to say: the whole state after it."""

    action: Action
    by: str
    """Who: a person's name, `run <id>` or `server <name>`."""
    reason: str
    champion: Slot | None
    challenger: Challenger | None = None
    shadow: Slot | None = None
    decision: str | None = None
    """SHA-256 of the decision document that lets the release through."""
    override: Override | None = None
    """A person's word that let the release through the gate. Of a promotion or rollback both are of the champion, of a
    canary of the challenger; later entries keep them in that slot."""

    def __post_init__(self) -> None:
        place = _ABOUT.get(self.action)
        slot = None if place is None else getattr(self, place)
        if slot is not None and slot.decision is None and slot.override is None:
            object.__setattr__(self, str(place), replace(slot, decision=self.decision, override=self.override))
        if not self.by.strip() or "\n" in self.by:
            raise ConfigError(f"A change of what serves is by {self.by!r}; expected who makes it, on one line.")


@dataclass(frozen=True, slots=True, kw_only=True)
class State(Change):
    """One entry of the log."""

    number: int
    """From 1, without holes; 0 for what a store from before the log says."""
    at: str
    """When, in UTC, by the clock of whoever wrote it. The order of entries is that of their numbers."""
    previous: str | None
    """SHA-256 of the entry before it, None for the first."""
    imported: tuple[Pointer, ...] = ()
    """In the first entry: the history from before the log, oldest first."""

    def to_json(self) -> dict[str, JsonValue]:
        """Return the fields as plain JSON values."""
        value: dict[str, JsonValue] = {
            "format": FORMAT,
            "number": self.number,
            "at": self.at,
            "by": self.by,
            "action": self.action,
            "reason": self.reason,
            "decision": self.decision,
            "override": None if self.override is None else dict(self.override.to_json()),
            "champion": None if self.champion is None else self.champion.to_json(),
            "challenger": None if self.challenger is None else self.challenger.to_json(),
            "shadow": None if self.shadow is None else self.shadow.to_json(),
            "previous": self.previous,
        }
        if self.imported:
            value["imported"] = [pointer.to_json() for pointer in self.imported]
        return value

    @classmethod
    def from_json(cls, value: Any) -> "State":  # Any: parsed JSON
        """Rebuild from `to_json`'s value.

        Raises:
            EntryUnreadableError: it is no entry that this homeroom can read.
        """
        try:
            if value["format"] > FORMAT:
                raise EntryUnreadableError(
                    f"it has format {value['format']}; this homeroom reads formats up to {FORMAT}: upgrade it"
                )
            if value["action"] not in get_args(Action):
                raise EntryUnreadableError("its action is none that this homeroom knows")
            override = value["override"]
            return cls(
                number=int(value["number"]),
                at=_text(value["at"]),
                by=_text(value["by"]),
                action=value["action"],
                reason=_text(value["reason"]),
                decision=value["decision"],
                override=None if override is None else Override.from_json(override),
                champion=_slot(value["champion"]),
                challenger=_challenger(value["challenger"]),
                shadow=_slot(value["shadow"]),
                previous=value["previous"],
                imported=tuple(Pointer.from_json(one) for one in value.get("imported", ())),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            if isinstance(error, EntryUnreadableError):
                raise
            raise EntryUnreadableError(f"{type(error).__name__}: {error}") from error

    @property
    def pointer(self) -> Pointer | None:
        """Return the change of the champion that this entry is, or None where it is none."""
        if self.action not in ("promote", "rollback") or self.champion is None:
            return None
        return Pointer(
            version=self.champion.version,
            artifact=self.champion.artifact,
            since=self.at,
            reason=self.reason,
            action=self.action,
            override=self.override,
            by=self.by,
            decision=self.decision,
            number=self.number,
        )

    @property
    def concerns(self) -> str:
        """The release that the entry put into a slot, with its share of a canary; empty for a withdrawal."""
        if self.action == "withdraw":
            return ""
        slots: Mapping[Action, Slot | None] = {"challenge": self.challenger, "canary": self.challenger}
        slot = slots.get(self.action, self.shadow if self.action == "shadow" else self.champion)
        percent = f" at {slot.percent} %" if isinstance(slot, Challenger) else ""
        return f"{slot.version}{percent}" if slot is not None else ""

    def sentence(self) -> str:
        """Return it in words, for whoever lost against it or lists it."""
        what = f" {self.concerns}" if self.concerns else ""
        return f"entry {self.number}: {self.by}, {self.action}{what} at {self.at} ({self.reason})"


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a field that is a text is none")
    return value


def _slot(value: Any) -> Slot | None:  # Any: parsed JSON
    return None if value is None else Slot(**_named(value))


def _challenger(value: Any) -> Challenger | None:  # Any: parsed JSON
    if value is None:
        return None
    return Challenger(**_named(value), percent=value["percent"])


def _named(value: Any) -> dict[str, Any]:  # Any: parsed JSON
    override = value.get("override")
    return {
        "version": value["version"],
        "artifact": value["artifact"],
        "decision": value.get("decision"),
        "override": None if override is None else Override.from_json(override),
    }
