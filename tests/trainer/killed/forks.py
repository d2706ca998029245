"""Trainings as processes that start at once: forked from one that has imported what they import."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[3]


class Forks:
    """Starts trainings and tells how they ended."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def start(self, **arguments: Any) -> int:
        """Start a training with these arguments of `job.run` and return its process number."""
        return int(self._ask({"start": arguments}))

    def poll(self, pid: int) -> int | None:
        """Return how it ended (negative: by which signal), or None while it lives."""
        code = self._ask({"poll": pid})
        return None if code is None else int(code)

    def _ask(self, question: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@contextlib.contextmanager
def forks() -> Iterator[Forks]:
    """Give something that starts trainings; its process ends with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.trainer.killed.forks"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Forks(process)
    finally:
        process.kill()
        process.communicate()


def _serve(questions: IO[str], answers: IO[str]) -> None:
    from tests.trainer.killed import job  # torch and the trainer with it, before anything is forked

    with tempfile.TemporaryDirectory() as folder:  # what a first fit imports, too
        (Path(folder) / "progress-0").write_bytes(bytes(job.PROGRESS.size))
        job.run(Path(folder), workers=0, rank=0, processes=1, port=0)
    ended: dict[int, int] = {}
    for line in questions:
        question = json.loads(line)
        answer: int | None
        if "poll" in question:
            pid = question["poll"]
            if pid not in ended:
                found, status = os.waitpid(pid, os.WNOHANG)
                if found:
                    ended[pid] = os.waitstatus_to_exitcode(status)
            answer = ended.get(pid)
        else:
            answer = os.fork()
            if answer == 0:
                _run(job, question["start"])
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _run(job: Any, arguments: dict[str, Any]) -> None:
    code = 1
    try:
        os.setsid()  # its loader workers are killed with it
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        output = os.open(Path(arguments["folder"]) / f"output-{arguments['rank']}.txt", os.O_WRONLY | os.O_CREAT)
        os.dup2(output, 1)
        os.dup2(output, 2)
        job.run(**(arguments | {"folder": Path(arguments["folder"])}))
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)  # not through the libraries' clean-up: a fork has none of their threads


if __name__ == "__main__":
    _serve(sys.stdin, os.fdopen(os.dup(1), "w"))
