"""The log of one application: append-only entries, each with the whole state, each made by one conditional create.

    releases/<application>/log/00000001.json, 00000002.json, ...

The number in an entry's name orders it; clocks do not. Each entry names the digest of the one before it. What the
last one says serves. A store from before the log is read as it was, and its history goes into the first entry, in
that entry's one write.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime

from components.errors import StoreConflictError, StoreError
from components.store import Store
from serving.errors import ReleaseNotFoundError
from serving.registry import legacy
from serving.registry.pointer import STAMP
from serving.registry.state import Change, EntryUnreadableError, Slot, State

DIGITS = 8
READERS = 16
"""So many entries are read at once where each is a request."""
_APPLICATION = re.compile(r"[a-z][a-z0-9_]*")
_NAME = re.compile(rf"[0-9]{{{DIGITS}}}\.json")


def folder_of(application: str) -> str:
    """Return where an application's records are. Raises ReleaseNotFoundError where it is no application's name."""
    if not _APPLICATION.fullmatch(application):
        raise ReleaseNotFoundError(f"{application!r} is no application's name: small letters, digits and `_`.")
    return f"releases/{application}"


class PointerLog:
    """Reads and extends the log of what serves.

    Args:
        store: has the records.
        application: its name.

    Raises:
        ReleaseNotFoundError: that is no application's name.
    """

    def __init__(self, store: Store, application: str) -> None:
        self._store = store
        self.application = application
        self._folder = folder_of(application)

    def latest(self) -> State | None:
        """Return the last entry: what serves. None where nothing ever did.

        Of a store from before the log it is entry 0, made of `current.json`.

        Raises:
            StoreError: the last entry is damaged: nobody can say what serves.
        """
        number = self.last_number()
        return self._read(number) if number else self._before_the_log()

    def after(self, number: int) -> State | None:
        """Return the last entry after this one, None where there is none: one read where nothing changed.

        Made to be asked often. It walks from number to number, and so does not see beyond a hole; `latest` does.

        Raises:
            StoreError: the last entry is damaged: keep what serves, and say so.
        """
        found = self.following(number)
        return found[-1] if found else None

    def following(self, number: int) -> list[State]:
        """Return the entries after this one that can be read, in order; as `after` otherwise."""
        found: list[State] = []
        damaged: EntryUnreadableError | None = None
        while (body := self.body(number + 1)) is not None:
            number += 1
            try:
                found.append(self.parsed(number, body))
                damaged = None
            except EntryUnreadableError as error:
                damaged = error  # who wrote the next one knew it
        if damaged is not None:
            raise self._damaged(number, damaged)
        return found

    def entry(self, number: int) -> State | None:
        """Return one entry, None where there is none that can be read; 0 is what served before the log.

        Raises:
            StoreError: the store cannot be asked.
        """
        if number == 0:
            return self._before_the_log()
        body = self.body(number)
        try:
            return None if body is None else self.parsed(number, body)
        except EntryUnreadableError:
            return None

    def entries(self) -> Iterator[State]:
        """Yield every entry that can be read, in order; `serving.registry.faults_of` tells of the others."""
        numbers = self.numbers()
        with ThreadPoolExecutor(READERS) as readers:  # a bucket takes its time for each
            bodies = list(
                readers.map(self.body, numbers) if self._store.local_root is None else map(self.body, numbers)
            )
        for number, body in zip(numbers, bodies, strict=True):
            if body is not None:
                with suppress(EntryUnreadableError):
                    yield self.parsed(number, body)

    def append(self, change: Change, *, expected: int) -> State:
        """Write entry `expected` + 1, if nobody has yet, and return it.

        Args:
            change: the whole state after it, and who wants it and why.
            expected: number of the entry that the change was decided on: `latest().number`, 0 where there is none.

        Raises:
            StoreConflictError: somebody else wrote it first; says who, and what.
            StoreError: the entry that it was decided on is missing; or the store ignores conditional writes.
        """
        self._store.require_conditional_writes()
        previous = None
        if expected:
            body = self.body(expected)
            if body is None:
                raise StoreError(
                    f"Entry {expected} of {self.place} is missing, so nothing can follow it. Restore it from a backup."
                )
            previous = hashlib.sha256(body).hexdigest()
        if self.body(expected + 1) is not None:  # also for a store that its one writer lets ignore conditions
            raise self._lost(expected + 1)
        state = State(
            number=expected + 1,
            at=datetime.now(UTC).strftime(STAMP),
            by=change.by,
            action=change.action,
            reason=change.reason,
            decision=change.decision,
            override=change.override,
            champion=change.champion,
            challenger=change.challenger,
            shadow=change.shadow,
            previous=previous,
            imported=() if expected else tuple(legacy.history(self._store, self._folder)),
        )
        try:
            self._store.write_record(self.path(state.number), state.to_json(), create=True)
        except StoreConflictError as error:
            raise self._lost(state.number) from error
        return state

    def last_number(self) -> int:
        """Return the number of the last entry, readable or not; 0 where there is none."""
        return max(self.numbers(), default=0)

    def numbers(self) -> list[int]:
        """Return the numbers of all entries, in order.

        A listing may be old: what follows its last entry is looked for by name.
        """
        names = (path.rpartition("/")[2] for path in self._store.list_records(f"{self._folder}/log"))
        found = sorted(int(name.removesuffix(".json")) for name in names if _NAME.fullmatch(name))
        while self.body(following := found[-1] + 1 if found else 1) is not None:
            found.append(following)
        return found

    def body(self, number: int) -> bytes | None:
        """Return an entry's bytes, or None where there is none; one read."""
        return self._store.place.get_bytes(f"records/{self.path(number)}")

    def parsed(self, number: int, body: bytes) -> State:
        """Return the entry that these bytes are. Raises EntryUnreadableError."""
        try:
            state = State.from_json(json.loads(body))
        except EntryUnreadableError:
            raise
        except ValueError as error:  # no JSON, or no UTF-8
            raise EntryUnreadableError("it is no JSON") from error
        if state.number != number:
            raise EntryUnreadableError(f"it calls itself entry {state.number}")
        return state

    def path(self, number: int) -> str:
        """Return the record of an entry."""
        return f"{self._folder}/log/{number:0{DIGITS}}.json"

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return f"records/{self._folder}/log in {self._store.url}"

    def _read(self, number: int) -> State:
        body = self.body(number)
        if body is None:
            raise StoreError(f"Entry {number} of {self.place} was listed and is gone. Restore it from a backup.")
        try:
            return self.parsed(number, body)
        except EntryUnreadableError as error:
            raise self._damaged(number, error) from error

    def _before_the_log(self) -> State | None:
        pointer = legacy.current(self._store, self._folder)
        if pointer is None:
            return None
        return State(
            number=0,
            at=pointer.since,
            by=pointer.by or "homeroom before the log",
            action=pointer.action,
            reason=pointer.reason,
            override=pointer.override,
            champion=Slot(version=pointer.version, artifact=pointer.artifact),
            previous=None,
        )

    def _damaged(self, number: int, error: EntryUnreadableError) -> StoreError:
        return StoreError(
            f"records/{self.path(number)} in {self._store.url} is damaged ({error}), so nobody can say which release "
            "serves. Restore it from a backup, or say it anew: `homeroom promote VERSION`."
        )

    def _lost(self, number: int) -> StoreConflictError:
        try:
            winner = self._read(number).sentence()
        except StoreError:
            winner = f"entry {number}, which cannot be read"
        return StoreConflictError(
            f"Somebody else changed what serves for {self.application} first: {winner}. Nothing was changed by you. "
            f"Look at it with `homeroom releases {self.application}`, and decide again."
        )
