"""The whole job over weeks: new logs, a run, a decision, a swap under load; and weeks in which something goes wrong."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from components._testing.kills import kill_at
from components.errors import PipelineError
from components.gate.decision import Decision
from components.gate.records import DecisionRecords
from components.upkeep import leases
from flows.contract.released import own_settings
from flows.operations import run_request
from flows.promotion import roll_back
from flows.request import RunRequest
from flows.settings import Settings
from flows.summary import RunSummary
from serving.bundle import load_bundle
from serving.registry import ReleaseRegistry, faults_of
from serving.run import Following, start
from serving.supervise.waiting import version_of, wait_until_live
from tests.e2e.weeks import District, Reign, asking
from tests.forked import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.e2e, pytest.mark.multiprocess, pytest.mark.timeout(1800)]

APPLICATION = "knowledge_tracing"
OVERRIDES = (
    "train.max_epochs=3",
    "evaluate.resamples=50",
    "fairness.resamples=200",
    # 20 held-out students of a group in the first week: chance alone makes gaps, coin flips larger ones
    "fairness.max_auc_gap=0.12",
    "fairness.max_calibration_gap=0.3",
    "deploy.compare_resamples=50",
    "deploy.max_auc_drop=0.02",
    "deploy.max_worst_group_auc_drop=0.1",
)
SWAP_S = 30.0
"""How long the workers may take to have the new release; they look twice a second, and the machine is busy."""


class Weeks:
    """One district's weeks, its runs, and its service."""

    def __init__(self, home: Path, weeks: int) -> None:
        self.settings: Settings = own_settings(home)
        self.district = District(home / "delivered", weeks)
        self.registry = ReleaseRegistry(self.settings.open_store())
        self.request = RunRequest(application=APPLICATION, data=(str(self.district.folder),), overrides=OVERRIDES)
        self.reigns: list[Reign] = []
        """What served, in order."""
        self.stopped: list[str] = []
        """Releases that the gate stopped."""
        self.url = ""
        """Of the service, once it runs."""

    def run(self) -> RunSummary:
        """Run what the schedule runs."""
        return run_request(self.request, self.settings)

    def serving(self) -> str:
        current = self.registry.current(APPLICATION)
        assert current is not None
        return current.version

    def reign(self, begin: float) -> None:
        """Wait until all workers answer with what serves now, and note it."""
        wait_until_live(lambda: version_of(self.url), self.serving(), SWAP_S)
        self.reigns.append(Reign(self.serving(), begin, time.monotonic()))

    def promoted(self) -> RunSummary:
        """Run a week whose release must take over."""
        begin = time.monotonic()
        summary = self.run()
        assert summary.decision.promote, summary.decision.reason
        assert self.serving() == summary.outcome.release.version
        self.reign(begin)
        return summary

    # -- weeks ---------------------------------------------------------------------------------------------------------

    def usual(self, week: int) -> None:
        self.district.deliver(week)
        self.promoted()

    def biased(self, week: int) -> None:
        before = self.serving()
        self.district.deliver_biased(week)
        summary = self.run()
        assert not summary.decision.promote
        assert "the gate stops it" in summary.decision.reason
        assert any(f.check == "gap" and f.outcome == "stop" for f in summary.decision.findings)
        assert self.serving() == before
        self.stopped.append(summary.outcome.release.version)
        for one in range(1, week + 1):  # the source was mended, and delivers again
            self.district.deliver(one)

    def drifted(self, week: int) -> None:
        self.district.deliver_drifted(week)
        self.promoted()

    def empty(self, week: int) -> None:
        before = self.serving()
        self.district.deliver_nothing(week)
        summary = self.run()
        assert summary.outcome.release.version == before, "nothing new, and yet another release"
        assert summary.decision.reason.startswith("it is the current release already")
        trained = next(event for event in summary.stages if event.stage == "train")
        assert trained.status == "skipped"

    def corrupt(self, week: int) -> None:
        before = self.serving()
        self.district.deliver_corrupt(week)
        with pytest.raises(PipelineError, match=f"week{week}.parquet"):
            self.run()
        assert self.serving() == before
        self.usual(week)  # it was uploaded again

    def killed(self, week: int) -> None:
        before = self.serving()
        self.district.deliver(week)
        store = self.settings.open_store()
        environment = {
            **os.environ,
            "HOMEROOM_STORE": self.settings.store,
            "HOMEROOM_KEYS": str(self.settings.keys),
            "PYTHONPATH": str(ROOT),
        }
        command = [sys.executable, "-m", "flows", "run", APPLICATION, "--no-prefect", "--data", *self.request.data]
        for text in OVERRIDES:
            command += ["--set", text]
        killed = kill_at(command, "epoch 2 of", environment=environment, folder=ROOT)
        assert killed.was_killed, killed.output
        assert not killed.left_behind
        assert self.serving() == before
        [dead] = leases.dead(store)
        assert dead.stage == "train"
        summary = self.promoted()
        assert {e.stage: e.status for e in summary.stages}["preprocess"] == "skipped", "it goes on where it was killed"

    def rolled_back(self, week: int) -> None:
        self.district.deliver(week)
        self.promoted()
        begin = time.monotonic()
        roll_back(self.settings.open_store(), APPLICATION, "teachers report odd answers")
        assert self.serving() == self.reigns[-2].release
        self.reign(begin)
        print(f"rolled back on all workers in {self.reigns[-1].complete - begin:.1f} s")


def play(
    home: Path, weeks: Sequence[Callable[[Weeks, int], None]], *, workers: int, clients: int, pause_s: float
) -> None:
    """Play the first, usual week and then the given ones, while clients ask all the time."""
    played = Weeks(home, 1 + len(weeks))
    played.district.deliver(1)
    first = played.run()
    assert first.decision.promote, first.decision.reason
    store = played.settings.open_store()
    bundle = load_bundle(store.folder(first.outcome.release))
    requests = [bundle.requests.plain(case.request) for case in bundle.golden]
    followed = Following(played.settings.store, APPLICATION)
    begin = time.monotonic()
    with (
        start(followed, workers=workers, key_file=played.settings.release_key_file()) as server,
        asking(server.url, requests, clients, pause_s) as load,
    ):
        played.url = server.url
        played.reign(begin)
        for number, week in enumerate(weeks, start=2):
            week(played, number)
            print(f"week {number} ({week.__name__}): {played.serving()} serves; {len(load.asked)} answers so far")
    assert load.failures == []
    assert load.strays(played.reigns) == []
    assert load.seen() == {reign.release for reign in played.reigns}

    check_story(played, weeks)


def check_story(played: Weeks, weeks: Sequence[Callable[[Weeks, int], None]]) -> None:
    """Read in the log what served, since when, who said so, and why."""
    store = played.settings.open_store()
    history = played.registry.history(APPLICATION)
    assert [entry.version for entry in history] == [reign.release for reign in played.reigns]
    assert [entry.action for entry in history].count("rollback") == sum(w is Weeks.rolled_back for w in weeks)
    assert faults_of(played.registry.log(APPLICATION)) == []
    records = DecisionRecords(store)
    for entry in history:
        assert entry.since
        assert (entry.by or "").startswith("run ") == (entry.action == "promote")
        assert entry.reason
        folder = f"releases/{APPLICATION}/decisions/{entry.version}"
        decided = [Decision.from_json(store.read_record(path)) for path in store.list_records(folder)]
        assert [one for one in decided if one.digest == entry.decision and one.promote]
    for version in played.stopped:
        decision = records.latest(APPLICATION, version)
        assert decision is not None
        assert not decision.promote
        assert decision.reasons("stop")


def test_a_week_as_usual_a_biased_one_and_one_that_is_taken_back(tmp_path: Path) -> None:
    play(tmp_path, [Weeks.biased, Weeks.rolled_back], workers=2, clients=1, pause_s=0.05)


@pytest.mark.soak
def test_eight_weeks(tmp_path: Path) -> None:
    weeks = [
        Weeks.usual,
        Weeks.biased,
        Weeks.drifted,
        Weeks.empty,
        Weeks.corrupt,
        Weeks.killed,
        Weeks.rolled_back,
    ]
    play(tmp_path, weeks, workers=2, clients=8, pause_s=0.0)
