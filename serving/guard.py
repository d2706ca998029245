"""A small process beside a server that ends it when the process that started it is gone, however that one ended.

    python -m serving.guard <pid of the parent> <mark of the server> <seconds for requests in flight>

It lives in a session of its own, so that what ends its parent's process group leaves it to do its work.
"""

import contextlib
import os
import shutil
import sys
import time

import psutil

MARK = "HOMEROOM_SERVER"
"""Environment variable that every process of one server inherits: BentoML's workers leave the process group."""
POLL_S = 0.25
KILLED_S = 5.0
KILL_ROUNDS = 10
"""A leader that still lives may start a worker anew while its workers are being killed."""


def end_marked(mark: str, grace_s: float = 0.0) -> None:
    """End the processes that carry a server's mark: SIGTERM, then SIGKILL after `grace_s`; 0 means SIGKILL at once."""
    if grace_s > 0:
        found = _marked(mark)
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.terminate()
        psutil.wait_procs(found, timeout=grace_s)
    for _ in range(KILL_ROUNDS):
        for process in (found := _marked(mark)):
            with contextlib.suppress(psutil.Error):
                process.kill()
                process.wait(KILLED_S)
        if not found:
            return


def _marked(mark: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                found.append(process)
        except (psutil.Error, OSError):
            continue  # gone, or another user's
    return found


def main(parent: int, mark: str, grace_s: float) -> None:
    """Wait until `parent` is no longer this process's parent, then end the server and delete its folder."""
    while os.getppid() == parent:
        time.sleep(POLL_S)
    end_marked(mark, grace_s)
    shutil.rmtree(mark, ignore_errors=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
