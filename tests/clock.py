"""A clock that is set while processes run, as the system shows it to those who ask when a process began."""

import psutil
import pytest


def set_clock(monkeypatch: pytest.MonkeyPatch, step_s: float) -> None:
    """Have the system's start, and with it every process's, lie `step_s` later than before, in seconds since 1970."""
    created, booted = psutil.Process.create_time, psutil.boot_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: created(process) + step_s)
    monkeypatch.setattr(psutil, "boot_time", lambda: booted() + step_s)
