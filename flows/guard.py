"""Ends Prefect's temporary server when the run that started it is killed.

Prefect 3.8 stops that server in an exit handler, which a killed process never reaches: the server would stay, with some
300 MB of memory, until somebody finds it. A run with a temporary server therefore starts a process of its own
(`python -m flows.guard`) that does nothing but wait for its parent's end.
"""

import atexit
import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SERVER = "prefect.server.api.server:create_app"
"""Stands in the command line of Prefect's temporary server."""
SEARCH_S = 0.2
"""How often to look for the server, until it is there."""
WATCH_S = 1.0
"""How often to look whether the parent lives."""
GRACE_S = 5.0
"""How long the server may take to end by itself."""

_GUARD: "subprocess.Popen[bytes] | None" = None


def guard_temporary_server() -> None:
    """See to it that a temporary server of this process ends with it, however it ends. A second call does nothing."""
    global _GUARD
    if _GUARD is None:
        _GUARD = subprocess.Popen(
            [sys.executable, "-m", "flows.guard", str(os.getpid())],
            cwd=Path(__file__).resolve().parent.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        # Exit handlers run backwards: Prefect registers its own later, and has stopped the server by then.
        atexit.register(_release)


def _release() -> None:
    if _GUARD is not None:
        _GUARD.terminate()
        _GUARD.wait()


def watch(parent: int) -> None:
    """Wait until this process's parent is gone, then end the temporary servers that it had.

    Args:
        parent: its process number, as it said itself; it may be gone by now.
    """
    import psutil  # late: `flows.tasks` imports this module

    servers: list[Any] = []
    while os.getppid() == parent:
        if not servers:
            with contextlib.suppress(psutil.Error):
                servers = [child for child in psutil.Process(parent).children() if _is_server(child)]
        time.sleep(WATCH_S if servers else SEARCH_S)
    for end in ("terminate", "kill"):
        for server in servers:  # psutil compares start times: a number that was given anew is left alone
            with contextlib.suppress(psutil.NoSuchProcess):
                getattr(server, end)()
        psutil.wait_procs(servers, timeout=GRACE_S)


def _is_server(process: Any) -> bool:  # Any: psutil has no types
    return any(SERVER in word for word in process.cmdline())


if __name__ == "__main__":
    watch(int(sys.argv[1]))
