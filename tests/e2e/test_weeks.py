"""The whole job over weeks: new logs, a run, a decision, a swap under load; and weeks in which something goes wrong."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from components._testing.kills import kill_at
from components.errors import PipelineError
from components.gate.records import DecisionRecords
from components.upkeep import leases
from flows.contract.released import own_settings
from flows.operations import run_request
from flows.promotion import roll_back
from flows.request import RunRequest
from flows.settings import Settings
from flows.summary import RunSummary
from serving.bundle import load_bundle
from serving.registry import ReleaseRegistry
from serving.run import Following, start
from tests.e2e.weeks import District, Load, asking
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
SWAP_S = 20.0
"""How long a client may wait for an answer of the new release; the watchers look twice a second."""


class Weeks:
    """One district's weeks, its runs, and its service."""

    def __init__(self, home: Path, weeks: int) -> None:
        self.settings: Settings = own_settings(home)
        self.district = District(home / "delivered", weeks)
        self.registry = ReleaseRegistry(self.settings.open_store())
        self.request = RunRequest(application=APPLICATION, data=(str(self.district.folder),), overrides=OVERRIDES)
        self.champions: list[str] = []
        """What served, in order, repeats left out."""

    def run(self) -> RunSummary:
        """Run what the schedule runs, and note what serves afterwards."""
        summary = run_request(self.request, self.settings)
        if summary.decision.promote and self.champions[-1:] != [summary.outcome.release.version]:
            self.champions.append(summary.outcome.release.version)
        return summary

    def serving(self) -> str:
        current = self.registry.current(APPLICATION)
        assert current is not None
        return current.version

    def promoted(self, load: Load) -> RunSummary:
        """Run a week whose release must take over, and wait until clients are answered by it."""
        summary = self.run()
        assert summary.decision.promote, summary.decision.reason
        assert self.serving() == summary.outcome.release.version
        load.wait_for(self.serving(), SWAP_S)
        return summary

    # -- weeks ---------------------------------------------------------------------------------------------------------

    def usual(self, week: int, load: Load) -> None:
        self.district.deliver(week)
        self.promoted(load)

    def biased(self, week: int, load: Load) -> None:
        before = self.serving()
        self.district.deliver_biased(week)
        summary = self.run()
        assert not summary.decision.promote
        assert "the gate stops it" in summary.decision.reason
        assert any(f.check == "gap" and f.outcome == "stop" for f in summary.decision.findings)
        assert self.serving() == before
        for one in range(1, week + 1):  # the source was mended, and delivers again
            self.district.deliver(one)

    def drifted(self, week: int, load: Load) -> None:
        self.district.deliver_drifted(week)
        self.promoted(load)

    def empty(self, week: int, load: Load) -> None:
        before = self.serving()
        self.district.deliver_nothing(week)
        summary = self.run()
        assert summary.outcome.release.version == before, "nothing new, and yet another release"
        assert summary.decision.reason.startswith("it is the current release already")
        trained = next(event for event in summary.stages if event.stage == "train")
        assert trained.status == "skipped"

    def corrupt(self, week: int, load: Load) -> None:
        before = self.serving()
        self.district.deliver_corrupt(week)
        with pytest.raises(PipelineError, match=f"week{week}.parquet"):
            self.run()
        assert self.serving() == before
        self.usual(week, load)  # it was uploaded again

    def killed(self, week: int, load: Load) -> None:
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
        summary = self.promoted(load)
        assert {e.stage: e.status for e in summary.stages}["preprocess"] == "skipped", "it goes on where it was killed"

    def rolled_back(self, week: int, load: Load) -> None:
        self.district.deliver(week)
        self.promoted(load)
        roll_back(self.settings.open_store(), APPLICATION, "teachers report odd answers")
        assert self.serving() == self.champions[-2]
        took = load.wait_for(self.serving(), SWAP_S)
        print(f"rolled back in {took:.1f} s")
        self.champions.append(self.serving())


def play(home: Path, weeks: list[Callable[[Weeks, int, Load], None]]) -> None:
    """Play the first, usual week and then the given ones, while a client asks all the time."""
    played = Weeks(home, 1 + len(weeks))
    played.district.deliver(1)
    first = played.run()
    assert first.decision.promote, first.decision.reason
    store = played.settings.open_store()
    bundle = load_bundle(store.folder(first.outcome.release))
    requests = [bundle.requests.plain(case.request) for case in bundle.golden]
    followed = Following(played.settings.store, APPLICATION)
    with (
        start(followed, key_file=played.settings.signing_key_file()) as server,
        asking(server.url, requests) as load,
    ):
        load.wait_for(played.serving(), SWAP_S)
        for number, week in enumerate(weeks, start=2):
            week(played, number, load)
            print(f"week {number} ({week.__name__}): {played.serving()} serves; {len(load.answers)} answers so far")
    assert load.failures == []
    assert load.releases() == played.champions, "every answer is of a release that served then"

    history = played.registry.history(APPLICATION)
    assert [entry.version for entry in history] == played.champions
    assert all(entry.reason and entry.since for entry in history)
    assert [entry.action for entry in history].count("rollback") == sum(w is Weeks.rolled_back for w in weeks)
    records = DecisionRecords(store)
    for entry in history:
        decision = records.latest(APPLICATION, entry.version)
        assert decision is not None
        assert decision.promote


def test_a_week_as_usual_a_biased_one_and_one_that_is_taken_back(tmp_path: Path) -> None:
    play(tmp_path, [Weeks.biased, Weeks.rolled_back])


@pytest.mark.soak
def test_eight_weeks(tmp_path: Path) -> None:
    play(
        tmp_path,
        [
            Weeks.usual,
            Weeks.biased,
            Weeks.drifted,
            Weeks.empty,
            Weeks.corrupt,
            Weeks.killed,
            Weeks.rolled_back,
        ],
    )
