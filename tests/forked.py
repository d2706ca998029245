"""Processes that start at once: forked from one that has imported what they import.

A kill is drawn over the wall time of a run, and the import of torch would be most of it.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parents[1]


class Forks:
    """Starts processes and tells how they ended; used by one thread."""

    def __init__(self, server: "subprocess.Popen[str]") -> None:
        self._server = server
        assert self._ask({"ready": True}) is True  # everything is imported: what is measured is a run alone

    def start(self, output: Path, **question: Any) -> int:
        """Start a process that prints to `output` and is asked for what the server runs; return its number."""
        return int(self._ask({"output": str(output), **question}))

    def poll(self, pid: int) -> int | None:
        """Return how it ended (negative: by which signal), or None while it lives. Ask again only after None."""
        code = self._ask({"poll": pid})
        return None if code is None else int(code)

    def wait(self, pid: int, seconds: float) -> int | None:
        """Wait for its end, at most so long."""
        end = time.monotonic() + seconds
        while (code := self.poll(pid)) is None and time.monotonic() < end:
            time.sleep(0.02)
        return code

    def _ask(self, question: dict[str, Any]) -> Any:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(question) + "\n")
        self._server.stdin.flush()
        return json.loads(self._server.stdout.readline())


@contextlib.contextmanager
def forks(module: str, **environment: str) -> Iterator[Forks]:
    """Give something that starts what `module` serves; its server ends with the block."""
    server = subprocess.Popen(
        [sys.executable, "-m", module],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Forks(server)
    finally:
        server.kill()
        server.communicate()


def serve(run: Callable[[dict[str, Any]], int]) -> None:
    """Answer questions from standard input; `run` gets that of a fork, in the fork, and returns its exit code."""
    answers = os.fdopen(os.dup(1), "w")
    ended: dict[int, int] = {}
    for line in sys.stdin:
        question = json.loads(line)
        answer: int | bool | None
        if "ready" in question:
            answer = True
        elif "poll" in question:
            pid = question["poll"]
            if pid not in ended:
                found, status = os.waitpid(pid, os.WNOHANG)
                if found:
                    ended[pid] = os.waitstatus_to_exitcode(status)
            answer = ended.get(pid)
        else:
            answer = os.fork()
            if answer == 0:
                _run(run, question)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _run(run: Callable[[dict[str, Any]], int], question: dict[str, Any]) -> NoReturn:
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        output = os.open(question["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        code = run(question)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)  # not through the libraries' clean-up: a fork has none of their threads
