"""Looks for what should not be in a log: holes, changed entries, entries that cannot be read, clocks that went back."""

import hashlib
from dataclasses import dataclass
from typing import Literal

from serving.registry.log import PointerLog
from serving.registry.state import EntryUnreadableError, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One thing that is wrong with a log."""

    number: int
    """Of the entry."""
    kind: Literal["missing", "unreadable", "changed", "clock"]
    sentence: str

    @property
    def is_harmless(self) -> bool:
        """Whether it says only that a clock was wrong: entries are ordered by number."""
        return self.kind == "clock"


def faults_of(log: PointerLog) -> list[Fault]:
    """Return everything that is wrong with a log, by number.

    A changed entry is noticed by the one after it, so that the last one can only be unreadable. What comes after a
    hole is compared no further back.
    """
    found: list[Fault] = []
    before: bytes | None = None
    last: State | None = None
    for number in range(1, log.last_number() + 1):
        body = log.body(number)
        if body is None:
            found.append(Fault(number=number, kind="missing", sentence=f"entry {number} is missing: it was deleted"))
            before = last = None
            continue
        try:
            state = log.parsed(number, body)
        except EntryUnreadableError as error:
            found.append(Fault(number=number, kind="unreadable", sentence=f"entry {number} cannot be read: {error}"))
            before, last = body, None
            continue
        expected = None if before is None else hashlib.sha256(before).hexdigest()
        if (before is not None or number == 1) and state.previous != expected:
            what = f"entry {number - 1} is not what entry {number} follows: one of them was changed"
            found.append(Fault(number=number, kind="changed", sentence=what))
        if last is not None and state.at < last.at:
            what = f"entry {number} says it is older than entry {last.number}: a clock was wrong"
            found.append(Fault(number=number, kind="clock", sentence=what))
        before, last = body, state
    return found
