"""The records of decisions, beside those of the releases; never overwritten.

releases/<application>/decisions/<version>/<utc>.json
"""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from components.errors import SchemaError, StoreConflictError, StoreError
from components.gate.decision import Decision
from components.store import Store

STAMP = "%Y%m%dT%H%M%S.%fZ"


class DecisionRecords:
    """Reads and adds decisions of the releases of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, decision: Decision) -> Decision:
        """Record a decision and return it with its time, which is later than that of every other on the release."""
        past = self.times(decision.application, decision.version)
        now = datetime.now(UTC)
        if past:  # whatever this machine's clock says
            now = max(now, datetime.strptime(past[-1], STAMP).replace(tzinfo=UTC) + timedelta(microseconds=1))
        while True:
            stamped = replace(decision, decided=now.strftime(STAMP))
            try:
                self._store.write_record(_path(stamped), stamped.to_json(), create=True)
            except StoreConflictError:  # somebody did the same in the same microsecond
                now += timedelta(microseconds=1)
            else:
                return stamped

    def times(self, application: str, version: str) -> list[str]:
        """Return when a release was decided on, oldest first."""
        paths = self._store.list_records(f"releases/{application}/decisions/{version}")
        return sorted(path.rpartition("/")[2].removesuffix(".json") for path in paths)

    def latest_day(self, application: str) -> date | None:
        """Return the day of the latest decision on any release of an application, None where there is none.

        No clock that is right says less: one that was set back must not make an override count again.
        """
        paths = self._store.list_records(f"releases/{application}/decisions")
        days = [_day(path.rpartition("/")[2].removesuffix(".json")) for path in paths]
        return max((day for day in days if day is not None), default=None)

    def latest(self, application: str, version: str) -> Decision | None:
        """Return the latest decision on a release, or None where there is none.

        Raises:
            StoreError: its record is damaged or newer than this homeroom: what was found is not known.
        """
        times = self.times(application, version)
        if not times:
            return None
        path = f"releases/{application}/decisions/{version}/{times[-1]}.json"
        try:
            return Decision.from_json(self._store.read_record(path))
        except SchemaError as error:
            raise StoreError(
                f"records/{path} in {self._store.url} cannot be read, so nobody can say what the gate found: {error} "
                "Restore it from a backup, or have the release decided on again by a run."
            ) from error


def _path(decision: Decision) -> str:
    return f"releases/{decision.application}/decisions/{decision.version}/{decision.decided}.json"


def _day(stamp: str) -> date | None:
    try:
        return datetime.strptime(stamp, STAMP).replace(tzinfo=UTC).date()
    except ValueError:  # none of ours
        return None
