"""What a watch found, in the store: numbered records that are never overwritten; figures only, no text and no id.

drift/<application>/00000001.json, ...     a drift, what was done about it, and what came of the run
quality/<application>/<utc>.json           live quality by release
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from components.artifacts import JsonValue
from components.errors import ConfigError, StoreConflictError
from components.store import Store

FORMAT = 1
_APPLICATION = re.compile(r"[a-z][a-z0-9_]*")


class WatchRecords:
    """Reads and adds records of one application.

    Raises:
        ConfigError: `application` is no application's name.
    """

    def __init__(self, store: Store, application: str) -> None:
        if not _APPLICATION.fullmatch(application):
            raise ConfigError(f"{application!r} is no application's name: small letters, digits and `_`.")
        self._store = store
        self._application = application

    def add(self, kind: str, value: Mapping[str, JsonValue]) -> int:
        """Record something of a drift and return its number.

        Raises:
            StoreError: it cannot be written.
        """
        number = len(self._paths())
        while True:
            number += 1
            body: dict[str, JsonValue] = {"format": FORMAT, "number": number, "kind": kind, "at": _now(), **value}
            try:
                self._store.write_record(f"drift/{self._application}/{number:08d}.json", body, create=True)
            except StoreConflictError:  # another watch was first
                continue
            return number

    def all(self) -> list[dict[str, Any]]:  # Any: parsed JSON
        """Return the records that can be read, oldest first."""
        found = [self._store.read_record(path) for path in self._paths()]
        return [one for one in found if isinstance(one, dict) and one.get("format") == FORMAT]

    def last_started(self) -> datetime | None:
        """Return when a drift last started a run or an event, None if none did."""
        times = [one["at"] for one in self.all() if one["kind"] == "drift" and one["action"] in {"run", "event"}]
        return max(map(datetime.fromisoformat, times)) if times else None

    def add_quality(self, value: Mapping[str, JsonValue]) -> str:
        """Record live quality and return the record's path."""
        path = f"quality/{self._application}/{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}.json"
        self._store.write_record(path, {"format": FORMAT, "at": _now(), **value}, create=True)
        return path

    def _paths(self) -> list[str]:
        return self._store.list_records(f"drift/{self._application}")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
