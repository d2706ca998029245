"""Requests to stop that are told without waiting: who acts on what, and after which step."""

from __future__ import annotations

import random
import secrets
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest
import torch.distributed as dist
from torch._C._distributed_c10d import HashStore  # torch.distributed hides it from type checkers

from tests.trainer.scripts import ended_well, ranks_of, run_script
from trainer.strategies import announcing
from trainer.strategies.announcing import Announcements
from trainer.strategies.shared_page import SharedPage, page_bytes

JOBS = Path(__file__).with_name("stop_jobs.py")


def exchanged(said: Sequence[Sequence[int]], page: Path | None) -> list[list[int]]:
    """Return what each process, a thread here, is to act on after each step; `said[rank][step]`."""
    store, found = HashStore(), [[-1] * len(steps) for steps in said]
    pages = [] if page is None else [SharedPage(page, rank, len(said), timeout_s=30) for rank in range(len(said))]

    def live(rank: int) -> None:
        if pages:
            announcements = Announcements.through_page(pages[rank])
        else:
            group = dist.ProcessGroupGloo(store, rank, len(said), timedelta(seconds=30))
            announcements = Announcements.through_group(cast("dist.ProcessGroup", group), tag=5)
        for step, own in enumerate(said[rank]):
            found[rank][step] = announcements.exchange(own)
        announcements.end()

    threads = [threading.Thread(target=live, args=(rank,)) for rank in range(len(said))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


Way = Callable[[Sequence[Sequence[int]]], list[list[int]]]


@pytest.fixture(params=["page", "messages", "collective"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Way:
    """Return what exchanges in one of the three ways."""
    if request.param == "collective":
        monkeypatch.setattr(announcing, "MOST_MESSAGES", 0)

    def exchange(said: Sequence[Sequence[int]]) -> list[list[int]]:
        page = tmp_path / secrets.token_hex(4) if request.param == "page" else None
        if page is not None:
            page.write_bytes(bytes(page_bytes(len(said))))
        return exchanged(said, page)

    return exchange


def test_what_all_ask_for_happens_at_once_and_what_one_asks_for_a_step_later(way: Way) -> None:
    assert way([[0, 1, 0, 0], [0, 1, 0, 0]]) == [[0, 1, 1, 0]] * 2
    assert way([[0, 2, 0, 0], [0, 0, 0, 0]]) == [[0, 0, 2, 0]] * 2
    assert way([[0, 3, 3, 0], [0, 1, 1, 0], [0, 1, 1, 0]]) == [[0, 1, 3, 3]] * 3
    assert way([[0, 2, 0]]) == [[0, 2, 2]]


@pytest.mark.parametrize("processes", [2, 3, 5])
def test_all_come_to_the_same_after_the_same_step(way: Way, processes: int) -> None:
    draw = random.Random(processes)
    said = [[draw.choice([0, 0, 0, 1, 2, 3]) for _ in range(40)] for _ in range(processes)]
    expected = []
    for step in range(40):
        now = [own[step] for own in said]
        acted = [bit for bit in (1, 2) if all(own & bit for own in now)]
        if step:
            acted += [bit for bit in (1, 2) if any(own[step - 1] & bit for own in said)]
        expected.append(sum(set(acted)))
    assert way(said) == [expected] * processes


def test_a_process_that_ended_or_never_comes_is_told(tmp_path: Path) -> None:
    path = tmp_path / "page"
    path.write_bytes(bytes(page_bytes(2)))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    pages = [SharedPage(path, rank, 2, timeout_s=0.2) for rank in (0, 1)]
    assert pages[0].sees_all()
    pages[0].write(0, 1)
    with pytest.raises(RuntimeError, match=r"Timed out waiting 200ms for the process of rank 1"):
        pages[0].read(0)
    pages[1]._words[pages[1]._pid_place(1)] = ended.pid
    assert not pages[0].sees_all()
    with pytest.raises(RuntimeError, match=r"Connection closed by peer: the process of rank 1 has ended"):
        pages[0].read(0)
    pages[1].write(0, 3)  # before it ended
    assert pages[0].read(0) == (3, 1)


@pytest.mark.multiprocess
@pytest.mark.parametrize("sees", ["page", pytest.param("none", marks=pytest.mark.soak)])
def test_a_fit_on_two_processes_stops_together(tmp_path: Path, sees: str) -> None:
    """Asked for by all, by one, by SIGTERM to one, in the last step of an epoch, and where no length is known."""
    ended_well(run_script(JOBS, str(tmp_path), sees, devices=2, torchrun=True))
    expected = {"all": 3, "one": 4, "notified": [4, True], "last": 6, "failed": 3, "unknown": 3, "afterwards": 6}
    found = ranks_of(tmp_path)
    assert [one.pop("ways") for one in found] == [[sees == "page"] * 7] * 2
    assert found == [expected] * 2
    assert not list(Path("/dev/shm").glob("trainer-*"))
