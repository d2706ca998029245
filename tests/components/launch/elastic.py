"""Jobs of the elastic tests: started, watched, disturbed, and ended whatever happens."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor

from components.launch.processes import kill_all
from components.launch.spec import LaunchSpec

ROOT = Path(__file__).resolve().parents[3]
PYTHONPATH = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"


def make_spec(folder: Path, *, settings: dict[str, Any] | None = None, **options: Any) -> LaunchSpec:
    """Return a job of `elastic_job` in `folder`, of two processes that may be begun again."""
    folder.mkdir(parents=True, exist_ok=True)
    usual: dict[str, Any] = {
        "module": "tests.components.launch.elastic_job",
        "folder": str(folder / "job"),
        "args": (str(folder),),
        "processes_per_node": 2,
        "max_restarts": 3,
        "exchange_timeout_s": 30.0,
        "join_timeout_s": 60.0,
        "timeout_s": 240.0,
        "env": {"PYTHONPATH": PYTHONPATH, "JOB_SETTINGS": json.dumps(settings or {})},
    }
    return LaunchSpec(**{**usual, **options})


def steps(folder: Path, rank: int = 0) -> list[tuple[float, int, int]]:
    """Return time, number and world size of the steps that a rank has done."""
    path = folder / f"steps-{rank}.txt"
    if not path.exists():
        return []
    return [tuple(json.loads(line)) for line in path.read_text().splitlines() if line.endswith("]")]


def wait_for(what: Callable[[], object], within_s: float, told: Callable[[], str] = lambda: "") -> None:
    until_s = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < until_s, told()
        time.sleep(0.02)


def wait_for_step(
    folder: Path, number: int, *, world: int | None = None, since: int = 0, within_s: float = 150
) -> None:
    """Wait until step `number` was done, by `world` processes, among the lines after the first `since`."""
    wait_for(
        lambda: any(step >= number and world in (None, size) for _, step, size in steps(folder)[since:]),
        within_s,
        lambda: f"no step {number} with {world} processes: {steps(folder)[-3:]}\n{logs(folder)}",
    )


def logs(folder: Path) -> str:
    return "\n".join(
        f"--- {path.name}\n{path.read_text(errors='replace')[-3000:]}"
        for path in sorted([*folder.glob("*.log"), *(folder / "job").glob("launch.*")])
    )


def rank_process(folder: Path, rank: int) -> psutil.Process:
    return psutil.Process(int((folder / f"pid-{rank}").read_text()))


def final(folder: Path) -> dict[str, Tensor]:
    state: dict[str, Tensor] = torch.load(folder / "final.ckpt", weights_only=True)["state_dict"]
    return state


def seen(folder: Path) -> list[float]:
    """Return how often the final weights count each sample."""
    return final(folder)["seen"].flatten().tolist()


class Machines:
    """Node programs that meet at a store, each on this machine or, with a prefix, elsewhere.

    Args:
        folder: of the job.
        spec: the job.
        prefix: command that the store's and the nodes' commands are given to, with the node's name.
        host: by which the store is reached.
        options: further options of a node, by its name.
    """

    def __init__(
        self,
        folder: Path,
        spec: LaunchSpec,
        *,
        prefix: Callable[[str], Sequence[str]] = lambda name: (),
        host: str = "127.0.0.1",
        options: Callable[[str], Sequence[str]] = lambda name: ("--address", "127.0.0.1"),
    ) -> None:
        self.folder = folder
        self.path = folder / "spec.json"
        self.path.write_text(spec.to_json())
        self._prefix = prefix
        self._options = options
        self.nodes: dict[str, subprocess.Popen[bytes]] = {}
        self._all: list[subprocess.Popen[bytes]] = []
        self._start("meeting", prefix("a"), ["-m", "components.launch.meeting", "--port", "0", "--bind", host])
        log = folder / "meeting.log"
        wait_for(lambda: "can meet at port" in log.read_text(), 120, log.read_text)
        [port] = re.findall(r"at port (\d+)", log.read_text())
        self.rdzv = f"{host}:{port}"

    def start(self, name: str) -> "subprocess.Popen[bytes]":
        """Start the program of a machine."""
        command = ["-m", "components.launch.node", str(self.path), "--rdzv", self.rdzv, *self._options(name)]
        self.nodes[name] = self._start(f"node-{name}", self._prefix(name), command)
        return self.nodes[name]

    def _start(self, log: str, prefix: Sequence[str], command: Sequence[str]) -> "subprocess.Popen[bytes]":
        with (self.folder / f"{log}.log").open("ab") as output:
            started = subprocess.Popen(
                [*prefix, sys.executable, *command], stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=ROOT,
                env=os.environ | {"PYTHONPATH": PYTHONPATH, "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
        self._all.append(started)
        return started

    def log(self, name: str) -> str:
        return (self.folder / f"node-{name}.log").read_text(errors="replace")

    def end(self) -> None:
        """End every process that was started here, and those that they started."""
        found: list[psutil.Process] = []
        for process in self._all:
            if process.poll() is None:
                own = psutil.Process(process.pid)
                found += [own, *own.children(recursive=True)]
        kill_all(found)
        for process in self._all:
            process.wait(10)


@contextmanager
def machines(folder: Path, spec: LaunchSpec, **options: Any) -> Iterator[Machines]:
    made = Machines(folder, spec, **options)
    try:
        yield made
    finally:
        made.end()
