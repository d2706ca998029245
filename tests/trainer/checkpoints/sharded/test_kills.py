"""Killed while saving, at any point: what is visible is readable, and the run goes on from it to the same end."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.forked import Forks
from tests.trainer.checkpoints.sharded.together import begin, job_server, run
from trainer.checkpoints import load_checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.multiprocess]
STEPS, CHAIN = 26, 6
KINDS = [(1, False), (1, True), (2, False), (2, True)]
"""Processes, and whether they save beside the steps."""


@pytest.fixture(scope="module")
def server() -> Iterator[Forks]:
    with job_server() as found:
        yield found


def steps_in(folder: Path) -> int:
    """Return the step of the newest checkpoint, after everything visible was read."""
    found = [-1]
    for path in (folder / "kept").glob("*"):
        if not path.name.startswith("."):
            found.append(load_checkpoint(path)["global_step"])
    return max(found)


def kill(server: Forks, pids: list[int], folder: Path, until: int, delay_s: float, random: Random) -> bool:
    """Kill a run some time after a step; return whether it lived still."""
    limit = time.monotonic() + 120
    progress = folder / "progress-0"
    while time.monotonic() < limit:
        if any(server.poll(pid) is not None for pid in pids):
            break
        if progress.exists() and int(progress.read_text() or 0) >= until:
            time.sleep(delay_s)
            break
        time.sleep(0.001)
    lived = all(server.poll(pid) is None for pid in pids)
    for pid in random.sample(pids, len(pids)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        time.sleep(random.uniform(0, 0.003))
    while None in [server.poll(pid) for pid in pids]:
        time.sleep(0.002)
    return lived


def check_kills(server: Forks, folder: Path, world: int, asynchronous: bool, kills: int, seed: int) -> str:
    random = Random(f"{seed} {world} {asynchronous}")
    options = {"asynchronous": asynchronous, "steps": STEPS}
    [straight, *_] = run(server, "train_on", world, folder / "straight", **options)
    where: Counter[str] = Counter()
    chain = 0
    while where.total() < kills:
        place = folder / f"chain-{chain}"
        for _ in range(min(CHAIN, kills - where.total())):
            before = steps_in(place)
            (place / "progress-0").unlink(missing_ok=True)
            pids = begin(server, "train_on", world, place, **options)
            lived = kill(
                server, pids, place, max(before, 0) + random.randrange(1, 4), random.uniform(0, 0.03 * world), random
            )
            assert lived, "\n".join(path.read_text()[-3000:] for path in place.glob("output-*.txt"))
            left = [path.name for path in (place / "kept").glob(".*")]
            where["while writing" if any(name.startswith(".tmp-") for name in left) else "in between"] += 1
            assert steps_in(place) >= before
            for name in left:  # as a later run does when they are old
                assert name.startswith(".tmp-")
                os.utime(place / "kept" / name, (0, 0))
        [resumed, *_] = run(server, "train_on", world, place, **options)
        assert resumed == straight, (chain, seed)
        assert not list((place / "kept").glob(".*"))
        chain += 1
    return f"{world} processes, asynchronous {asynchronous}: {dict(where)} in {chain} chains, seed {seed}"


@pytest.mark.parametrize(("world", "asynchronous", "kills"), [(1, False, 3), (2, True, 3)])
def test_a_kill_while_saving_leaves_what_can_be_read(
    server: Forks, tmp_path: Path, world: int, asynchronous: bool, kills: int
) -> None:
    print(check_kills(server, tmp_path, world, asynchronous, kills, secrets.randbelow(10**6)))


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("world", "asynchronous"), KINDS)
def test_five_hundred_kills_in_all(server: Forks, tmp_path: Path, world: int, asynchronous: bool) -> None:
    print(check_kills(server, tmp_path, world, asynchronous, 125, secrets.randbelow(10**6)))
