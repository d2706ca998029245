"""How much a client may ask: a token bucket for each, shared by all workers of a server.

A bucket of `burst` tokens that fills at `rate` a second is kept as one number, the time at which it will be full
(the "theoretical arrival time" of the generic cell rate algorithm, ITU-T I.371). Workers share a file that each has
mapped into its memory, and a lock on its first byte that the system frees when a worker dies: a few microseconds.
"""

import fcntl
import hashlib
import mmap
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

from serving.access.clients import Client

SLOTS = 4_096
PROBES = 16
"""Slots in which a client may be. When others hold them all, the one that has rested longest goes, its bucket full."""
_SLOT = struct.Struct("=Qd")


class Limiter:
    """Lets requests through, or says how long to wait.

    Args:
        path: the file that the workers of a server share; None keeps the buckets in this process alone.
        clock: seconds of a clock that all processes of this machine share and nobody sets.
    """

    def __init__(self, path: Path | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        size = SLOTS * _SLOT.size
        self._file: int | None = None
        if path is None:
            self._slots = mmap.mmap(-1, size)
        else:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)  # stays open: closing it would free the lock
            os.ftruncate(self._file, size)  # a new file is zeros: every bucket full
            self._slots = mmap.mmap(self._file, size)
        self._marks: dict[str, int] = {}

    def wait_s(self, client: Client) -> float:
        """Take a token of a client's bucket and return 0, or return after how many seconds there will be one."""
        if client.rate <= 0:
            return 0.0
        interval = 1.0 / client.rate
        if self._file is None:  # within one process, requests take their turns on the event loop
            return self._taken(client, interval)
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1)
        try:
            return self._taken(client, interval)
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1)

    def _taken(self, client: Client, interval: float) -> float:
        """Return what `wait_s` does, alone."""
        now = self._clock()
        at, full_at = self._find(client.id, now)
        wait = full_at - (client.burst - 1) * interval - now
        if wait > 1e-9:
            return wait
        _SLOT.pack_into(self._slots, at * _SLOT.size, self._mark(client.id), max(full_at, now) + interval)
        return 0.0

    def _find(self, client: str, now: float) -> tuple[int, float]:
        """Return a client's slot, and when its bucket will be full."""
        mark = self._mark(client)
        first = mark % SLOTS
        best, longest = first, float("inf")
        for step in range(PROBES):
            at = (first + step) % SLOTS
            held_by, full_at = _SLOT.unpack_from(self._slots, at * _SLOT.size)
            if held_by == mark:
                return at, full_at
            if held_by == 0:
                return at, now
            if full_at < longest:
                best, longest = at, full_at
        return best, now

    def _mark(self, client: str) -> int:
        mark = self._marks.get(client)
        if mark is None:
            if len(self._marks) >= SLOTS:
                self._marks.clear()
            mark = int.from_bytes(hashlib.sha256(client.encode()).digest()[:8], "big") or 1
            self._marks[client] = mark
        return mark
