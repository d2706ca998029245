"""Runs of `homeroom` as processes that start at once: forked from one that has imported what a run imports.

A kill is drawn over the wall time of a run, and the import of torch and ONNX would be most of it. What runs in the
fork, and is killed, is the whole command.
"""

import contextlib
import importlib
import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[2]
MODULES = (
    "torch",
    "torch.onnx",
    "torch.export",
    "torch.onnx._internal.exporter._core",
    "polars",
    "sklearn.metrics",
    "scipy.stats",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "jinja2",
    "psutil",
    "flows.cli.run",
    "flows.operations",
)


class Preloaded:
    """Starts commands and tells how they ended; used by one thread."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def wait_until_ready(self) -> None:
        """Wait until everything is imported, so that what is measured is a run alone."""
        assert self._ask({"ready": True}) is True

    def start(self, arguments: Sequence[str], environment: dict[str, str], output: Path) -> int:
        """Start `homeroom ARGUMENTS` and return its process number."""
        return int(self._ask({"arguments": list(arguments), "environment": environment, "output": str(output)}))

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
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@contextlib.contextmanager
def preloaded() -> Iterator[Preloaded]:
    """Give something that starts commands; its process ends with the block."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__))],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        found = Preloaded(process)
        found.wait_until_ready()
        yield found
    finally:
        process.kill()
        process.communicate()


def _serve(questions: IO[str], answers: IO[str]) -> None:
    for name in MODULES:
        importlib.import_module(name)
    _export_once()
    ended: dict[int, int] = {}
    for line in questions:
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
                _run(question)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _export_once() -> None:
    """Export a layer: the exporter loads and builds most of what it needs at its first use."""
    import torch

    with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
        warnings.simplefilter("ignore")
        torch.set_num_threads(1)
        shapes = ({0: torch.export.Dim("batch")},)
        torch.onnx.export(
            torch.nn.Linear(2, 2), (torch.zeros(3, 2),), dynamo=True, dynamic_shapes=shapes, verbose=False
        )


def _run(question: dict[str, Any]) -> None:
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        output = os.open(question["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.environ.clear()
        os.environ.update(question["environment"])
        from flows.__main__ import main

        sys.argv = ["homeroom", *question["arguments"]]
        try:
            main(question["arguments"])
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)  # not through the libraries' clean-up: a fork has none of their threads


if __name__ == "__main__":
    _serve(sys.stdin, os.fdopen(os.dup(1), "w"))
