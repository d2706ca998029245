"""What a watch found, in the store: numbered records that are never overwritten; figures only, no text and no id.

drift/<application>/00000001.json, ...     a drift, what was done about it, and what came of the run
quality/<application>/<utc>.json           live quality by release
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from components.artifacts import JsonValue
from components.errors import ConfigError, StoreConflictError
from components.store import Store

FORMAT = 1
_APPLICATION = re.compile(r"[a-z][a-z0-9_]*")


class WatchRecords:
    """Reads and adds records of one application.

    Args:
        store: with the records.
        application: whose.
        now: the time that a record gets.

    Raises:
        ConfigError: `application` is no application's name.
    """

    def __init__(self, store: Store, application: str, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        if not _APPLICATION.fullmatch(application):
            raise ConfigError(f"{application!r} is no application's name: small letters, digits and `_`.")
        self._store = store
        self._application = application
        self._now = now

    def add(self, kind: str, value: Mapping[str, JsonValue]) -> int:
        """Record something of a drift and return its number.

        Raises:
            StoreError: it cannot be written.
        """
        number = len(self._paths())
        while True:
            number += 1
            body: dict[str, JsonValue] = {"format": FORMAT, "number": number, "kind": kind, "at": self._at(), **value}
            try:
                self._store.write_record(f"drift/{self._application}/{number:08d}.json", body, create=True)
            except StoreConflictError:  # another watch was first
                continue
            return number

    def all(self) -> list[dict[str, Any]]:  # Any: parsed JSON
        """Return the records that can be read, oldest first."""
        found = [self._store.read_record(path) for path in self._paths()]
        return [one for one in found if isinstance(one, dict) and one.get("format") == FORMAT]

    def held_until(self, cool_down: timedelta, retry: timedelta, *, lasts: bool) -> datetime | None:
        """Return from when on a drift may start something; None where nothing holds it back.

        Args:
            cool_down: after a drift started a run or an event. A run of which nothing is recorded yet may still go on.
            retry: after one whose run failed, or whose event nobody took.
            lasts: it is no new drift but one that goes on, which also waits for `retry` after there was no data.
        """
        records = self.all()
        failed = {one["alarm"] for one in records if one["kind"] == "outcome" and "error" in one}
        waits = {"run": cool_down, "event": cool_down, **({"no data": retry} if lasts else {})}
        ends = [
            datetime.fromisoformat(one["at"]) + (retry if one["number"] in failed else waits[one["action"]])
            for one in records
            if one["kind"] == "drift" and one["action"] in waits
        ]
        return max(ends, default=None)

    def add_quality(self, value: Mapping[str, JsonValue]) -> str:
        """Record live quality and return the record's path."""
        path = f"quality/{self._application}/{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}.json"
        self._store.write_record(path, {"format": FORMAT, "at": self._at(), **value}, create=True)
        return path

    def _paths(self) -> list[str]:
        return self._store.list_records(f"drift/{self._application}")

    def _at(self) -> str:
        return self._now().isoformat(timespec="milliseconds")
