"""Groups of processes for the tests of sharded checkpoints."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.forked import Forks, forks


@contextmanager
def job_server() -> Iterator[Forks]:
    """Give what starts the jobs of `jobs.py`."""
    with forks("tests.trainer.checkpoints.sharded.jobs", OMP_NUM_THREADS="1") as server:
        yield server


def begin(server: Forks, task: str, world: int, folder: Path, **arguments: Any) -> list[int]:
    """Start a task in so many processes; return their numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    question = {"task": task, "world": world, "port": port, "folder": str(folder), "arguments": arguments}
    return [server.start(folder / f"output-{rank}.txt", rank=rank, **question) for rank in range(world)]


def end(server: Forks, pids: list[int], folder: Path, seconds: float) -> None:
    """Wait for processes, all of which have to end well."""
    limit = time.monotonic() + seconds
    while None in (codes := [server.poll(pid) for pid in pids]) and time.monotonic() < limit:
        time.sleep(0.02)
    said = "\n".join(path.read_text()[-3000:] for path in sorted(folder.glob("output-*.txt")))
    assert codes == [0] * len(pids), said


def run(server: Forks, task: str, world: int, folder: Path, **arguments: Any) -> list[dict[str, Any]]:
    """Do a task in so many processes; return what each found."""
    end(server, begin(server, task, world, folder, **arguments), folder, 250)
    return [json.loads((folder / f"{task}-{world}-{rank}.json").read_text()) for rank in range(world)]
