"""Starting the other processes of a run on one machine, and never leaving one behind."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import deque
from pathlib import Path
from types import TracebackType

from torch._C._distributed_c10d import TCPStore  # torch.distributed hides it from type checkers

from trainer.errors import MisconfigurationException, RankFailedError, four_parts
from trainer.launching.environments import LAUNCHED_VARIABLE

PARENT_VARIABLE = "TRAINER_PARENT_PID"
REPORT_VARIABLE = "TRAINER_ERROR_FILE"
_POLL_S = 0.1
_GRACE_S = 5.0
_END_WAIT_S = 60.0
_KEPT_LINES = 50


class SubprocessLauncher:
    """Runs the script again for ranks 1 and up; this process is rank 0 and watches them.

    One failing rank ends the others within seconds, and its traceback is what the user sees. Each child has its own
    process group, which is killed as a whole, with the children's own workers in it.
    """

    _current: SubprocessLauncher | None = None

    def __init__(self, processes: int) -> None:
        if hasattr(sys, "ps1") or not sys.orig_argv[1:]:
            raise MisconfigurationException(
                four_parts(
                    "Several processes can only be started from a script, which is run again for each.",
                    got="an interactive interpreter",
                    expected="a script file, or torchrun",
                    remedy="Write the training into a script, or pass devices=1.",
                )
            )
        self.store = TCPStore("127.0.0.1", 0, processes, is_master=True, wait_for_workers=False)
        self._reports = Path(tempfile.mkdtemp(prefix="trainer-"))
        self._ending = False
        self._failure: str | None = None
        self._lock = threading.Lock()
        own = self._variables(0, processes)
        os.environ.update(own)
        self._last_lines: dict[int, deque[bytes]] = {}
        self.children = [self._start(rank, processes) for rank in range(1, processes)]
        atexit.register(self.close)
        threading.Thread(target=self._watch, name="rank-watch", daemon=True).start()

    @classmethod
    def started(cls, processes: int) -> SubprocessLauncher:
        """Return this process's launcher, starting the children the first time."""
        if cls._current is None:
            cls._current = cls(processes)
        return cls._current

    def _variables(self, rank: int, processes: int) -> dict[str, str]:
        return {
            LAUNCHED_VARIABLE: "1",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(self.store.port),
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": str(processes),
            "LOCAL_WORLD_SIZE": str(processes),
            REPORT_VARIABLE: str(self._reports / f"rank-{rank}.txt"),
            "PYTHONFAULTHANDLER": "1",
        }

    def _start(self, rank: int, processes: int) -> subprocess.Popen[bytes]:
        variables = os.environ | self._variables(rank, processes) | {PARENT_VARIABLE: str(os.getpid())}
        command = [sys.executable, *sys.orig_argv[1:]]
        child = subprocess.Popen(command, env=variables, start_new_session=True, stderr=subprocess.PIPE)
        self._last_lines[rank] = deque(maxlen=_KEPT_LINES)
        threading.Thread(target=self._pass_on, args=(rank, child), name=f"rank-{rank}-stderr", daemon=True).start()
        return child

    def _pass_on(self, rank: int, child: subprocess.Popen[bytes]) -> None:
        """Show what a child writes to its standard error, and keep the end of it."""
        for line in child.stderr or ():
            self._last_lines[rank].append(line)
            sys.stderr.write(line.decode(errors="replace"))

    def _watch(self) -> None:
        while not self._ending:
            for index, child in enumerate(self.children):
                code = child.poll()
                if code not in (None, 0):
                    self._child_failed(rank=index + 1, code=int(code or 0))
                    return
            time.sleep(_POLL_S)

    def _child_failed(self, rank: int, code: int) -> None:
        report = self._reports / f"rank-{rank}.txt"
        if report.exists():
            detail = report.read_text()
        else:
            time.sleep(_POLL_S)  # its last lines may still be on their way
            lines = b"".join(self._last_lines[rank]).decode(errors="replace")
            detail = f"{lines or 'It wrote nothing.'}\nIts exit code was {code}.\n"
        with self._lock:
            if self._ending:
                return
            self._failure = f"Rank {rank} failed first; the run was ended. Its traceback:\n{detail}"
        self._kill_children()
        # The main thread usually fails by itself when its peer is gone, and then raises `failure`.
        deadline = time.monotonic() + _GRACE_S
        while time.monotonic() < deadline and not self._ending:
            time.sleep(_POLL_S)
        if not self._ending:
            sys.stderr.write(f"{self._failure}\n")
            sys.stderr.flush()
            os._exit(1)

    def failure(self, wait_s: float = 1.0) -> RankFailedError | None:
        """Return the error of the rank that failed first, waiting a moment for the watcher to notice it."""
        deadline = time.monotonic() + wait_s
        reported = None
        while self._failure is None and time.monotonic() < deadline:
            # A process that failed has said so before its connections break; it may take a while to end.
            reported = self._first_report()
            if reported is not None:
                break
            time.sleep(_POLL_S / 2)
        with self._lock:
            if self._failure is None and reported is not None:
                self._failure = reported
            if self._failure is None:
                return None
            self._ending = True
            return RankFailedError(self._failure)

    def _first_report(self) -> str | None:
        written = {}
        for rank in range(1, len(self.children) + 1):
            report = self._reports / f"rank-{rank}.txt"
            with contextlib.suppress(OSError):
                if text := report.read_text():
                    written[report.stat().st_mtime_ns] = (rank, text)
        if not written:
            return None
        rank, text = written[min(written)]
        return f"Rank {rank} failed first; the run was ended. Its traceback:\n{text}"

    def end_now(self) -> None:
        """Kill the children at once; this rank failed."""
        self._ending = True
        self._kill_children()

    def close(self) -> None:
        """Wait for the children to finish their scripts, then kill what is left."""
        deadline = time.monotonic() + _END_WAIT_S
        while not self._ending and time.monotonic() < deadline and any(c.poll() is None for c in self.children):
            time.sleep(_POLL_S)
        self._ending = True
        self._kill_children()
        for report in self._reports.glob("*.txt"):
            report.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._reports.rmdir()

    def _kill_children(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            for child in self.children:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(child.pid, number)
            deadline = time.monotonic() + (1.0 if number == signal.SIGTERM else _GRACE_S)
            while time.monotonic() < deadline and any(child.poll() is None for child in self.children):
                time.sleep(_POLL_S / 2)


def guard_child() -> None:
    """In a process that our launcher started: report an uncaught exception, and end when the parent does."""
    report, parent = os.environ.get(REPORT_VARIABLE), os.environ.get(PARENT_VARIABLE)
    if report is None or parent is None:
        return

    def write_report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        report_failure(error)
        sys.__excepthook__(kind, error, trace)

    sys.excepthook = write_report
    threading.Thread(target=_end_with_parent, args=(int(parent),), name="parent-watch", daemon=True).start()


def report_failure(error: BaseException) -> None:
    """Leave the traceback where the launcher looks for it; the first one written stays."""
    report = os.environ.get(REPORT_VARIABLE)
    if report is None or os.environ.get(PARENT_VARIABLE) is None:
        return
    with contextlib.suppress(OSError), open(report, "x") as file:
        file.write("".join(traceback.format_exception(error)))


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(os.getpgid(0), signal.SIGKILL)
