"""Whether a process is the one that was there, and not another that was given its number, whatever the clock does.

The time of day at which a process began is no mark of it: the system keeps how long after its own start that was, and
every reader adds the time of that start, which moves with each step of the clock.
"""

import os
import sys
from pathlib import Path
from typing import NamedTuple

import psutil

PROC = Path("/proc")
BOOT_ID = PROC / "sys" / "kernel" / "random" / "boot_id"
SAME_START_S = 2.0
"""By so much may two times of day differ that are of one start; only where the system gives nothing better."""


class Start(NamedTuple):
    """When a process began: with its number, a mark of it."""

    boot: str
    """The id of the system's start; empty where the system has none."""
    at_s: float
    """Seconds from the system's start to the process's. Without `boot`: seconds since 1970."""

    def utc_s(self) -> float:
        """Return the time of day, for people: seconds since 1970."""
        return float(psutil.boot_time()) + self.at_s if self.boot else self.at_s


def start_of(pid: int) -> Start | None:
    """Return when a process began, or None where it is gone or is a leftover that nobody waited for."""
    boot = _boot_id()
    return _start_by_clock(pid) if boot is None else _start_since_boot(pid, boot)


def is_same(pid: int, start: Start) -> bool:
    """Return whether the process that has this number now is the one that began at `start`."""
    if start.boot:
        return start_of(pid) == start
    now = _start_by_clock(pid)
    return now is not None and abs(now.at_s - start.at_s) < SAME_START_S


def _boot_id() -> str | None:
    if not sys.platform.startswith("linux"):
        return None
    try:
        return BOOT_ID.read_text(encoding="ascii").strip() or None
    except OSError:
        return None


def _start_since_boot(pid: int, boot: str) -> Start | None:
    try:
        stat = (PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    fields = stat.rpartition(b")")[2].split()  # behind the name, which may hold anything: from the third field on
    if fields[0] in (b"Z", b"X"):
        return None
    return Start(boot, int(fields[19]) / os.sysconf("SC_CLK_TCK"))


def _start_by_clock(pid: int) -> Start | None:
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else Start("", float(process.create_time()))
    except psutil.Error:
        return None
