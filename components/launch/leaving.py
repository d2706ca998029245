"""The end of a process that has threads of torch's."""

import atexit
import os
import sys
import threading
from typing import Any, NoReturn


def code_of(end: SystemExit) -> int:
    """Return the exit code that Python gives for `end`, and print what it prints."""
    if end.code is None or isinstance(end.code, int):
        return end.code or 0
    sys.stderr.write(f"{end.code}\n")
    return 1


def leave(code: int) -> NoReturn:
    """End this process as Python does, but for taking modules apart.

    While that happens, threads of process groups and of stores abort the process now and then (torch 2.13, Gloo): a
    training that was done, or that made room, would count as failed.
    """
    untyped: Any = threading
    untyped._shutdown()  # waits for threads that are no daemons, and ends executors
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
