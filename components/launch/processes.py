"""Processes that never stay behind: ones that die with their parent, and the end of a whole tree."""

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterable

import psutil

from components.processes import start_of

_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux's prctl


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent dies, however that happens. Only Linux can do so."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the call
        os.kill(os.getpid(), signal.SIGKILL)


def descendants(pid: int) -> list[psutil.Process]:
    """Return the processes below `pid`, as far as they can be found from it now."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return list(psutil.Process(pid).children(recursive=True))
    return []


def kill_all(processes: Iterable[psutil.Process]) -> None:
    """Kill processes, with the groups that they lead and what they have started by now."""
    given = list(processes)
    for process in given:
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError, PermissionError):
            given.extend(child for child in process.children(recursive=True) if child not in given)
            if process.is_running() and os.getpgid(process.pid) == process.pid:
                os.killpg(process.pid, signal.SIGKILL)
    for process in given:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()  # psutil compares start times: a number that was given anew is left alone
    psutil.wait_procs(given, timeout=5)


def members_of(groups: Iterable[int]) -> list[psutil.Process]:
    """Return the processes of the groups that are no older than this one: orphans whose parents died.

    What they are compared by is no time of day, so that a clock that was set meanwhile changes nothing.
    """
    wanted, found, mine = set(groups), [], start_of(os.getpid())
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(process.pid) not in wanted:
                continue
            began = start_of(process.pid)
            if began is not None and (mine is None or began.at_s >= mine.at_s):
                found.append(process)
    return found
