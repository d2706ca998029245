"""A log in a store, workers that say what they are told to, and a supervisor that takes steps by a clock of its own."""

from pathlib import Path
from typing import Any

from components.store import Store
from serving.registry import PointerLog, Slot, State
from serving.status import WorkerStatus
from serving.supervise.limits import Limits
from serving.supervise.supervisor import Supervisor
from serving.tally import Tally
from tests.serving.releasing import say

LIMITS = Limits(min_requests=100, min_stage_s=10)


def slot(digit: str) -> Slot:
    return Slot(version=f"app-{digit * 12}", artifact=digit * 64)


A, B, C = slot("a"), slot("b"), slot("c")


def tally(requests: int, *, errors: int = 0, seconds: float = 0.01, mean: float = 0.5, misread: int = 0) -> Tally:
    """Count requests; the scores lie 0.1 above and below the mean, in turns."""
    found = Tally()
    for number in range(requests):
        if number < errors:
            found.count(500, seconds, None)
        else:
            found.count(200, seconds, mean + (0.1 if number % 2 else -0.1))
    for _ in range(misread):
        found.count(400, seconds, None)
    found.misread = misread
    return found


def worker_at(state: State, releases: dict[str, Tally], pid: int = 1, *, at: float = 0.0) -> WorkerStatus:
    """Return what a worker says that answers by `state` and has counted this."""
    other = state.challenger
    return WorkerStatus(
        pid=pid,
        started=1.0,
        at=at,
        entry=state.number,
        release=state.champion.version if state.champion else None,
        challenger=other.version if other else None,
        percent=other.percent if other else 0,
        shadow=None,
        ready=True,
        reason="",
        behind="",
        releases=releases,
    )


class Bench:
    """A log in a store, workers that say what they are told to, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.log = PointerLog(Store(folder), "app")
        self.now = 0.0
        self.workers: list[WorkerStatus] = []
        self.supervisor = self.supervise()

    def supervise(self, **options: Any) -> Supervisor:
        """Return a supervisor that has seen nothing yet."""
        given = {"by": "server test", "clock": lambda: self.now, **options}
        return Supervisor(self.log, lambda: self.workers, LIMITS, **given)

    def all_say(self, state: State, releases: dict[str, Tally], count: int = 2) -> None:
        """Have each of `count` workers answer by `state` and have counted this."""
        self.workers = [worker_at(state, releases, pid, at=self.now) for pid in range(1, count + 1)]

    def promoted(self, former: Slot, now: Slot, before: Tally) -> State:
        """Have one release promoted after another that did this, and both steps seen."""
        self.all_say(say(self.log, "promote", former), {former.version: before})
        self.step()
        state = say(self.log, "promote", now)
        self.all_say(state, {former.version: before, now.version: Tally()})
        assert self.step() is None
        return state

    def step(self, seconds: float = 20.0) -> State | None:
        self.now += seconds
        return self.supervisor.step()
