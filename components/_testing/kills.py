"""Kills: a command's main process ended by SIGKILL, at a time, at a line that it prints, or at a write into the store.

As the system does it when memory runs out, and an operator with `kill -9`: the main process alone, without a chance to
say anything. What it had started must end by itself; `Killed.left_behind` says what did not.

    killed = kill_after(["homeroom", "run", "knowledge_tracing", "--data", "answers.csv"], 12.5)
    assert killed.was_killed and not killed.left_behind
"""

import contextlib
import multiprocessing
import os
import signal
import subprocess
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from components.places.place import LocalPlace, Place

CHILDREN_END_S = 20.0
"""How long the processes that a killed one had started may take to end by themselves."""
POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Killed:
    """What was killed, and what it left behind."""

    was_killed: bool
    """False when the command ended before it was to be killed."""
    returncode: int
    """-9 when it was killed."""
    after_s: float
    """How long it had run."""
    output: str
    """What it had printed, standard output and standard error together."""
    children: tuple[str, ...]
    """The processes that it had started and that lived when it was killed: number and command of each."""
    left_behind: tuple[str, ...]
    """Those of them that had not ended by themselves after a while; they are killed then."""


def kill_after(
    command: Sequence[str],
    seconds: float,
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Killed:
    """Run a command and kill it after a time.

    Args:
        command: program and arguments.
        seconds: when, counted from its start; at least 0.
        environment: the command's; this process's own by default.
        folder: where it runs; here by default.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        clock = time.monotonic()
        with subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        ) as running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.wait(seconds)
            return _killed(running.pid, running.poll, clock, lambda: _text(output))


def kill_at(
    command: Sequence[str],
    words: str,
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    timeout_s: float = 300.0,
) -> Killed:
    """Run a command and kill it when it prints a line that holds `words`, as `homeroom run` does at each stage.

    Args:
        command: program and arguments.
        words: what to wait for, on standard output or standard error.
        environment: the command's; this process's own by default.
        folder: where it runs; here by default.
        timeout_s: when to kill it if it never says so.
    """
    said: list[str] = []
    clock = time.monotonic()
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as running:
        assert running.stdout is not None  # it was asked for
        stop = threading.Timer(timeout_s, running.kill)
        stop.start()
        try:
            for line in running.stdout:
                said.append(line)
                if words in line:
                    break
        finally:
            stop.cancel()
        killed = _killed(running.pid, running.poll, clock, lambda: "".join(said))
        running.stdout.close()
        return killed


def kill_process(pid: int, poll: Callable[[], int | None], *, started: float, output: Callable[[], str]) -> Killed:
    """Kill a process that was started by other means.

    Args:
        pid: its number; it must not have been waited for, so that the number is still its own.
        poll: returns its exit status, negative for a signal, or None while it lives.
        started: when it was started, on the clock of `time.monotonic`.
        output: returns what it has printed; called last.
    """
    return _killed(pid, poll, started, output)


def die_at_write(
    act: Callable[[], object], number: int, when: Literal["before", "after"] = "before", *, timeout_s: float = 120.0
) -> bool:
    """Do something in a forked process that is killed at its n-th write into a local store; return whether it was.

    The writes are whole objects: a file of an artifact, a manifest, a record, a deletion. A sweep over `number` from 0
    until it returns False kills an action at every point that another process can see.

    Args:
        act: what to do; it must not use what does not live through a fork, such as a thread pool that has worked.
        number: which write, from 0.
        when: kill before or after it.
        timeout_s: how long the action may take.

    Raises:
        RuntimeError: the action failed, or took too long.
    """
    fork = multiprocessing.get_context("fork")

    def dying() -> None:
        code = 1
        try:
            with _at_write(number, when):
                act()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)  # not through exit hooks: they belong to threads that a fork does not have

    process = fork.Process(target=dying)
    process.start()
    process.join(timeout_s)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise RuntimeError(f"The action took more than {timeout_s:g} s. Give it more time with timeout_s=.")
    if process.exitcode not in (0, -signal.SIGKILL):
        raise RuntimeError(f"The action ended with exit code {process.exitcode}; its traceback is on standard error.")
    return process.exitcode == -signal.SIGKILL


_WRITES = ("put_file", "put_bytes", "delete")


@contextlib.contextmanager
def _at_write(number: int, when: Literal["before", "after"]) -> Iterator[None]:
    """Make this process kill itself at the n-th write of a local place."""
    left = number

    def wrap(write: Callable[..., None]) -> Callable[..., None]:
        def counting(place: Place, *args: Any, **kwargs: Any) -> None:  # Any: whatever the place is given
            nonlocal left
            now, left = left == 0, left - 1
            if now and when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            write(place, *args, **kwargs)
            if now:
                os.kill(os.getpid(), signal.SIGKILL)

        return counting

    originals = {name: getattr(LocalPlace, name) for name in _WRITES}
    for name, original in originals.items():
        setattr(LocalPlace, name, wrap(original))
    try:
        yield
    finally:
        for name, original in originals.items():
            setattr(LocalPlace, name, original)


def _killed(pid: int, poll: Callable[[], int | None], clock: float, output: Callable[[], str]) -> Killed:
    import psutil  # late: only tests need it

    children: list[Any] = []
    if poll() is None:  # else its number may be another process's by now
        process = psutil.Process(pid)
        os.kill(pid, signal.SIGSTOP)  # so that it starts nothing between the look and the kill
        _wait(lambda: process.status() in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE), 1.0)
        children = process.children(recursive=True)
        os.kill(pid, signal.SIGKILL)
    shown = {child: _described(child) for child in children}
    after_s = time.monotonic() - clock
    _wait(lambda: poll() is not None, CHILDREN_END_S)
    code = poll()
    _wait(lambda: not any(_lives(child) for child in children), CHILDREN_END_S)
    left = [child for child in children if _lives(child)]
    for child in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    _wait(lambda: not any(_lives(child) for child in left), CHILDREN_END_S)
    was_killed = code == -signal.SIGKILL
    return Killed(
        was_killed=was_killed,
        returncode=-signal.SIGKILL if code is None else code,
        after_s=after_s,
        output=output(),
        children=tuple(shown.values()) if was_killed else (),
        left_behind=tuple(shown[child] for child in left),
    )


def _lives(process: Any) -> bool:  # Any: psutil has no types
    import psutil

    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _described(process: Any) -> str:  # Any: psutil has no types
    import psutil

    try:
        return f"{process.pid}: {' '.join(process.cmdline())}"
    except psutil.Error:
        return str(process.pid)


def _wait(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(POLL_S)


def _text(stream: Any) -> str:  # Any: tempfile's own class
    stream.seek(0)
    return str(stream.read())
