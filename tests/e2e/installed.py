"""An installation that `homeroom up` starts and `homeroom down` ends, and how tests ask it."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.forked import ROOT


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for one in probes:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in probes]
    finally:
        for one in probes:
            one.close()


def homeroom(folder: Path, *words: str, code: int = 0, environment: Mapping[str, str] | None = None) -> str:
    """Run a command on the installation whose file is in the folder; return what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "flows", *words, "--file", str(folder / "homeroom.toml")],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    logs = "".join(p.read_text(errors="replace")[-3000:] for p in sorted((folder / "state" / "logs").glob("*.log")))
    assert done.returncode == code, f"{done.stdout}{done.stderr}\n{logs}"
    return done.stdout + done.stderr


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of all processes that have a path below `folder` in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            values = process.environ().values()
            if process.pid != os.getpid() and any(str(folder) in value for value in values):
                found.append(" ".join(process.cmdline()))
        except (psutil.Error, OSError):
            continue
    return found


def within(seconds: float, holds: Callable[[], Any], what: str) -> Any:
    """Return what `holds` returns as soon as it is something; fail after a time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := holds():
            return found
        time.sleep(0.3)
    pytest.fail(f"not within {seconds:g} s: {what}")
