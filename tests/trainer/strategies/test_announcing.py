"""Requests to stop that are told without waiting: who acts on what, and after which step."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest
import torch.distributed as dist
from torch._C._distributed_c10d import HashStore  # torch.distributed hides it from type checkers

from tests.trainer.scripts import ended_well, ranks_of, run_script
from trainer.strategies import announcing
from trainer.strategies.announcing import Announcements

JOBS = Path(__file__).with_name("stop_jobs.py")


def exchanged(said: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return what each process, a thread here, is to act on after each step; `said[rank][step]`."""
    store, found = HashStore(), [[-1] * len(steps) for steps in said]

    def live(rank: int) -> None:
        group = dist.ProcessGroupGloo(store, rank, len(said), timedelta(seconds=30))
        announcements = Announcements(cast("dist.ProcessGroup", group), tag=5)
        for step, own in enumerate(said[rank]):
            found[rank][step] = announcements.exchange(own)
        announcements.end()

    threads = [threading.Thread(target=live, args=(rank,)) for rank in range(len(said))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.fixture(params=["messages", "collective"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "collective":
        monkeypatch.setattr(announcing, "MOST_MESSAGES", 0)


@pytest.mark.usefixtures("way")
def test_what_all_ask_for_happens_at_once_and_what_one_asks_for_a_step_later() -> None:
    assert exchanged([[0, 1, 0, 0], [0, 1, 0, 0]]) == [[0, 1, 1, 0]] * 2
    assert exchanged([[0, 2, 0, 0], [0, 0, 0, 0]]) == [[0, 0, 2, 0]] * 2
    assert exchanged([[0, 3, 3, 0], [0, 1, 1, 0], [0, 1, 1, 0]]) == [[0, 1, 3, 3]] * 3
    assert exchanged([[0, 2, 0]]) == [[0, 2, 2]]


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("processes", [2, 3, 5])
def test_all_come_to_the_same_after_the_same_step(processes: int) -> None:
    draw = random.Random(processes)
    said = [[draw.choice([0, 0, 0, 1, 2, 3]) for _ in range(40)] for _ in range(processes)]
    expected = []
    for step in range(40):
        now = [own[step] for own in said]
        acted = [bit for bit in (1, 2) if all(own & bit for own in now)]
        if step:
            acted += [bit for bit in (1, 2) if any(own[step - 1] & bit for own in said)]
        expected.append(sum(set(acted)))
    assert exchanged(said) == [expected] * processes


@pytest.mark.multiprocess
def test_a_fit_on_two_processes_stops_together(tmp_path: Path) -> None:
    """Asked for by all, by one, by SIGTERM to one, in the last step of an epoch, and where no length is known."""
    ended_well(run_script(JOBS, str(tmp_path), devices=2, torchrun=True))
    expected = {"all": 3, "one": 4, "notified": [4, True], "last": 6, "failed": 3, "unknown": 3, "afterwards": 6}
    assert ranks_of(tmp_path) == [expected] * 2
