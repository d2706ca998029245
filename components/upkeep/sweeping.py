"""The notice of a running garbage collection, and how writers get along with it.

Whoever takes an artifact into use first marks it as used and then reads the notice; the collector first writes the
notice with all that it wants to delete and then reads the marks. So at least one of the two sees the other: either the
collector spares the artifact, or the writer waits until the collector is done and looks again. This needs reads that
see finished writes, which folders and S3 both give, and no clock that two machines share.
"""

import json
import os
import socket
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

from components.artifacts import canonical_json
from components.errors import StoreConflictError, StoreError
from components.places.place import Place

NOTICE = "gc/sweep.json"
STALE_S = 300.0
"""A notice that stays unchanged for so long was left by a collector that died."""
RENEW_S = 60.0
POLL_S = 0.2


def mark_of(sha256: str) -> str:
    """Return the path of the mark that says when an artifact was last taken into use."""
    return f"used/{sha256}"


def claim(place: Place, sha256: str) -> None:
    """Mark an artifact as used, and wait while a collector is about to delete it.

    Afterwards no collector deletes it for the time of grace; whether it is still there must be seen anew.
    """
    place.touch(mark_of(sha256))
    seen, since = b"", time.monotonic()
    while (notice := place.get_bytes(NOTICE)) is not None and sha256 in _condemned(notice):
        if notice != seen:
            seen, since = notice, time.monotonic()
        elif time.monotonic() - since > STALE_S:
            return
        time.sleep(POLL_S)


def _condemned(notice: bytes) -> frozenset[str]:
    try:
        return frozenset(json.loads(notice)["condemned"])
    except (ValueError, KeyError, TypeError):
        return frozenset()  # not ours


class SweepNotice:
    """Entered while a collector deletes.

    Args:
        place: the store's.
        condemned: identities of the artifacts that it may delete.

    Attributes:
        started: when the notice was written, by the store's own clock.

    Raises:
        StoreError: another collector is at work.
    """

    def __init__(self, place: Place, condemned: Iterable[str]) -> None:
        self._place = place
        self._condemned = sorted(condemned)
        self._renewals = 0
        self._renewed = 0.0
        self.started = datetime.now(UTC)

    def __enter__(self) -> Self:
        try:
            self._write(create=True)
        except StoreConflictError:
            written = self._modified()
            is_young = written is None or datetime.now(UTC) - written < timedelta(seconds=STALE_S)
            if is_young and not self._died_here():
                raise StoreError(
                    f"Another garbage collection is at work in {self._place.url} ({NOTICE}). Wait until it ends; the "
                    f"notice of one that died no longer counts after {STALE_S:.0f} s."
                ) from None
            self._write()
        self.started = self._modified() or self.started
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._place.delete(NOTICE)

    def renew(self) -> None:
        """Say that the collector lives; call it before each deletion."""
        if time.monotonic() - self._renewed > RENEW_S:
            self._renewals += 1
            self._write()

    def _write(self, *, create: bool = False) -> None:
        notice = {
            "condemned": self._condemned,
            "by": f"{socket.gethostname()}:{os.getpid()}",
            "renewals": self._renewals,
        }
        self._place.put_bytes(NOTICE, canonical_json(notice), create=create)
        self._renewed = time.monotonic()

    def _died_here(self) -> bool:
        """Return whether the notice is of a process of this machine that is gone."""
        try:
            host, _, pid = str(json.loads(self._place.get_bytes(NOTICE) or b"{}")["by"]).rpartition(":")
            if host == socket.gethostname():
                os.kill(int(pid), 0)
        except ProcessLookupError:
            return True
        except (ValueError, KeyError, TypeError, OSError):  # OSError: somebody else's, and alive
            return False
        return False

    def _modified(self) -> datetime | None:
        return next((entry.modified for entry in self._place.entries("gc") if entry.path == NOTICE), None)
