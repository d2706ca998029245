"""Killed anywhere, resumed, killed again: the run ends with the bits of one that nobody disturbed."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.forked import Forks, forks
from tests.trainer.killed.job import PROGRESS, TOTAL

pytestmark = [pytest.mark.slow, pytest.mark.multiprocess]

KINDS = {"one process": (0, 1), "two loader workers": (2, 1), "two processes": (0, 2)}
CHAIN = 5
"""Kills in a row in one folder, before its run may end."""
PLACES = {b"s": "in a step", b"v": "in validation", b"c": "while saving", b"\0": "before the first step"}


@pytest.fixture(scope="module")
def server() -> Iterator[Forks]:
    with forks("tests.trainer.killed.forks", OMP_NUM_THREADS="1") as found:
        yield found


@dataclass
class Job:
    """The processes of one training."""

    server: Forks
    folder: Path
    workers: int
    processes: int
    pids: list[int] = field(default_factory=list)

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.pids = []
        for rank in range(self.processes):
            (self.folder / f"progress-{rank}").write_bytes(bytes(PROGRESS.size))
            arguments = {
                "folder": str(self.folder),
                "workers": self.workers,
                "rank": rank,
                "processes": self.processes,
                "port": port,
            }
            self.pids.append(self.server.start(self.folder / f"output-{rank}.txt", arguments=arguments))

    def progress(self) -> tuple[int, bytes]:
        done, what = PROGRESS.unpack((self.folder / "progress-0").read_bytes())
        return done, what

    def said(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self.folder.glob("output-*.txt")))

    def has_ended(self) -> bool:
        return self.server.poll(self.pids[0]) is not None

    def wait(self) -> None:
        end = time.monotonic() + 120
        while None in (codes := [self.server.poll(pid) for pid in self.pids]) and time.monotonic() < end:
            time.sleep(0.02)
        assert codes == [0] * self.processes, self.said()

    def kill(self, random: Random) -> None:
        """Kill all processes, with their workers, in any order and not quite at once."""
        for pid in random.sample(self.pids, len(self.pids)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            time.sleep(random.uniform(0, 0.002))
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        while None in [self.server.poll(pid) for pid in self.pids]:
            time.sleep(0.002)


def kill_somewhere(job: Job, random: Random) -> str | None:
    """Kill a training at a random step, in a half of the cases there while it saves or validates; say where it was."""
    step = random.randrange(TOTAL - 1)
    wanted = random.choice([b"", b"", b"c", b"v"])
    delay_s = random.uniform(0, 0.004)
    end = time.monotonic() + 120
    while time.monotonic() < end:
        done, what = job.progress()
        if done >= step and what != b"\0" and wanted in (b"", what):
            time.sleep(delay_s)
            break
        if job.has_ended():
            return None
        time.sleep(0.001)
    _, what = job.progress()
    if job.has_ended():
        return None
    job.kill(random)
    return PLACES[what]


def differences(one: Any, other: Any, place: str = "final") -> list[str]:
    """Return every place where two results differ in a bit."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return [bad for key in one for bad in differences(one[key], other[key], f"{place}[{key!r}]")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [
            bad
            for index, pair in enumerate(zip(one, other, strict=True))
            for bad in differences(*pair, f"{place}[{index}]")
        ]
    same = torch.equal(one, other) if isinstance(one, Tensor) and isinstance(other, Tensor) else one == other
    return [] if same else [f"{place}: {one} undisturbed, {other} resumed"]


def results(job: Job) -> list[Any]:
    return [torch.load(job.folder / f"final-{rank}.pt", weights_only=True) for rank in range(job.processes)]


def check_kills(server: Forks, folder: Path, kind: str, kills: int, seed: int) -> None:
    random = Random(f"{seed} {kind}")
    workers, processes = KINDS[kind]
    clock = time.monotonic()
    straight = Job(server, folder / "straight", workers, processes)
    straight.start()
    straight.wait()
    undisturbed, seconds = results(straight), time.monotonic() - clock
    assert undisturbed[0]["steps"] == 16
    assert len(undisturbed[0]["epochs"]) == 4
    where: Counter[str] = Counter()
    chain = 0
    while where.total() < kills:
        job = Job(server, folder / f"chain-{chain}", workers, processes)
        for _ in range(min(CHAIN, kills - where.total())):
            job.start()
            place = kill_somewhere(job, random)
            if place is None:
                break
            where[place] += 1
        else:
            job.start()
        job.wait()
        assert differences(undisturbed, results(job)) == [], f"chain {chain} of seed {seed}"
        chain += 1
    fell = ", ".join(f"{count} {place}" for place, count in where.most_common())
    print(
        f"\n{kind}: {where.total()} kills in {chain} chains ({fell}), seed {seed}: every bit the same; "
        f"a run takes {seconds:.1f} s, all of it {time.monotonic() - clock:.0f} s"
    )


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=pytest.mark.soak) if kind == "two processes" else kind for kind in KINDS]
)
def test_a_few_kills_change_nothing(server: Forks, tmp_path: Path, kind: str) -> None:
    seed = secrets.randbelow(10**6)
    print(f"seed {seed}")
    check_kills(server, tmp_path, kind, kills=4, seed=seed)


@pytest.mark.soak
@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.timeout(1800)
def test_thirty_kills_change_nothing(server: Forks, tmp_path: Path, kind: str) -> None:
    seed = secrets.randbelow(10**6)
    print(f"seed {seed}")
    check_kills(server, tmp_path, kind, kills=30, seed=seed)
