"""What workers say of themselves, when the clock of the machine is set while they run."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from components.store import Store
from flows.watching.totals import Totals
from serving import run
from serving.errors import ServerStartError
from serving.live import Live, go_live
from serving.metrics import Metrics
from serving.registry import PointerLog, Slot
from serving.settings import ServiceSettings
from serving.slots import Server, Slots
from serving.status import Reporter, read_statuses
from serving.supervise.counts import Counts
from serving.supervise.limits import Limits
from serving.supervise.supervisor import Supervisor
from tests.clock import set_clock
from tests.serving.bundles import write_bundle
from tests.serving.releasing import say

STEPS_S = (-3600.0, -1.0, 1.0, 3600.0)


class Workers:
    """Three living processes, each with what a worker of one server says; all have counted the same."""

    def __init__(self, live: Live, folder: Path, pids: list[int]) -> None:
        self.live, self.folder, self._pids = live, folder, pids
        self._metrics = Metrics(CollectorRegistry())

    def report(self, entry: int) -> None:
        """Have each say what it does now, which answers by `entry`."""
        for pid in self._pids:
            server = Server(Slots(champion=self.live, entry=entry))
            server.status_folder = self.folder
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(os, "getpid", lambda pid=pid: pid)
                Reporter(server, self._metrics).report()


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Workers]:
    write_bundle(tmp_path / "bundle")
    folder = tmp_path / "status"
    folder.mkdir()
    with contextlib.ExitStack() as stack:
        children = [
            stack.enter_context(subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE))
            for _ in range(3)
        ]
        yield Workers(go_live(ServiceSettings(), tmp_path / "bundle"), folder, [child.pid for child in children])


@pytest.mark.parametrize("step_s", STEPS_S)
def test_workers_stay_who_they_are_and_count_once_when_the_clock_is_set(
    workers: Workers, step_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = workers.live.bundle
    assert bundle is not None
    workers.live.tally.count(200, 0.01, 0.5)
    workers.report(1)
    counts, totals = Counts(), Totals()
    before = read_statuses(workers.folder)
    set_clock(monkeypatch, step_s)
    still = read_statuses(workers.folder)
    assert [one.pid for one in still] == [one.pid for one in before]
    workers.report(1)
    after = read_statuses(workers.folder)
    assert len(after) == 3
    for seen in (before, still, after):
        counts.read(seen)
        totals.read(seen, bundle.version)
    assert counts.totals()[bundle.version].requests == 3
    assert len(totals.latest) == 3


@pytest.mark.parametrize("step_s", STEPS_S)
def test_a_good_release_is_not_taken_back_because_the_clock_was_set(
    workers: Workers, tmp_path: Path, step_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = PointerLog(Store(tmp_path / "store"), "app")
    now = 0.0
    supervisor = Supervisor(log, lambda: read_statuses(workers.folder), Limits(), by="a test", clock=lambda: now)
    for digit in "ab":
        state = say(log, "promote", Slot(version=f"app-{digit * 12}", artifact=digit * 64))
        workers.report(state.number)
        assert supervisor.step() is None
    set_clock(monkeypatch, step_s)
    for _ in range(5):
        now += 15.0
        assert supervisor.step() is None, "the workers have not said anything since"
        workers.report(state.number)
        assert supervisor.step() is None
    assert log.latest() == state


def test_two_servers_cannot_share_a_status_folder(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    workers.report(7)
    monkeypatch.setattr(run, "OTHERS_S", 0.2)
    monkeypatch.setenv("HOMEROOM_SERVE_STATUS", str(workers.folder))  # exported once, for two applications
    with pytest.raises(ServerStartError, match="the workers of another server say what they do"):
        run.start(workers.folder.parent / "bundle")
