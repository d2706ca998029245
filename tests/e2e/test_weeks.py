"""The whole job over weeks: new logs, a run, a decision, a swap under load; and weeks in which something goes wrong."""

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from prefect.client.schemas.objects import StateType

from components._testing.kills import Killed, kill_at, kill_process
from components.errors import PipelineError
from components.gate.decision import Decision
from components.gate.records import DecisionRecords
from components.upkeep import leases
from flows.contract.released import own_settings
from flows.operations import run_request
from flows.promotion import roll_back
from flows.request import RunRequest
from flows.settings import Settings
from serving.registry import ReleaseRegistry, faults_of
from serving.run import Following, start
from serving.supervise.waiting import version_of, wait_until_live
from tests.e2e.installed import within
from tests.e2e.mondays import Mondays
from tests.e2e.watching import Watching
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
    """One district's weeks, its runs, and its service.

    Args:
        home: for everything.
        weeks: how many there will be.
        is_scheduled: whether the runs are those that `homeroom up`'s schedule makes; else they run in this process.
    """

    def __init__(self, home: Path, weeks: int, *, is_scheduled: bool) -> None:
        self.settings: Settings = own_settings(home)
        self.store = self.settings.open_store()
        self.district = District(home / "delivered", weeks)
        self.crowd = self.district.crowd()
        self.registry = ReleaseRegistry(self.store)
        data = (str(self.district.folder),)
        self.request = RunRequest(application=APPLICATION, data=data, overrides=OVERRIDES)
        self.mondays = (
            Mondays(home / "installed", self.settings, APPLICATION, data, OVERRIDES) if is_scheduled else None
        )
        self.watch = Watching(self.store, home / "status", self.settings, self.mondays)
        self.reigns: list[Reign] = []
        """What served, in order."""
        self.stopped: list[str] = []
        """Releases that the gate stopped."""
        self.url = ""
        """Of the service, once it runs."""

    def run(self) -> dict[str, Any]:  # Any: JSON
        """Run what is due, to its end, and return the run's record.

        Raises:
            PipelineError: it failed.
        """
        before = self.records()
        if self.mondays is None:
            run_request(self.request, self.settings)
        else:
            state = self.mondays.ended(self.mondays.comes()).state
            assert state is not None
            if state.type != StateType.COMPLETED:
                raise PipelineError(state.message)
        [record] = [path for path in self.records() if path not in before]
        return self.record(record)

    def records(self) -> list[str]:
        return sorted(self.store.list_records(f"runs/{APPLICATION}"))

    def record(self, path: str) -> dict[str, Any]:  # Any: JSON
        found = self.store.read_record(path)
        assert isinstance(found, dict)
        return found

    def serving(self) -> str:
        current = self.registry.current(APPLICATION)
        assert current is not None
        return current.version

    def reign(self, begin: float) -> None:
        """Wait until all workers answer with what serves now, and note it."""
        wait_until_live(lambda: version_of(self.url), self.serving(), SWAP_S)
        self.reigns.append(Reign(self.serving(), begin, time.monotonic()))

    def promoted(self) -> dict[str, Any]:  # Any: JSON
        """Run a week whose release must take over."""
        begin = time.monotonic()
        record = self.run()
        assert record["release"]["promoted"], record["release"]["reason"]
        assert self.serving() == record["release"]["version"]
        self.reign(begin)
        return record

    # -- weeks ---------------------------------------------------------------------------------------------------------

    def usual(self, week: int) -> None:
        self.district.deliver(week)
        self.promoted()

    def biased(self, week: int) -> None:
        before = self.serving()
        self.district.deliver_biased(week)
        record = self.run()
        assert not record["release"]["promoted"]
        assert "the gate stops it" in record["release"]["reason"]
        assert any(f["check"] == "gap" and f["outcome"] == "stop" for f in record["gate"]["findings"])
        assert self.serving() == before
        self.stopped.append(record["release"]["version"])
        for one in range(1, week + 1):  # the source was mended, and delivers again
            self.district.deliver(one)

    def drifted(self, week: int) -> None:
        """Everybody is marked more strictly: in the clients' requests at once, in the logs when they are delivered."""
        before = self.serving()
        assert self.watch.records.all() == [], "an alarm in a usual week"
        self.district.deliver_drifted(week)
        begin = time.monotonic()
        self.crowd.is_strict = True
        alarm, outcome = self.watch.alarm()
        self.crowd.is_strict = False
        print(f"alarm {alarm['number']}: {alarm['why']}")
        assert (alarm["release"], alarm["action"], outcome["promoted"]) == (before, "run", True)
        assert {one["signal"]: one["found"] for one in alarm["signals"]}.get("right_in_history") == "down"
        assert self.serving() == outcome["release"] != before
        self.reign(begin)
        reason = self.record(f"runs/{APPLICATION}/{outcome['run']}.json")["request"]["reason"]
        assert reason == f"{alarm['why']} (alarm {alarm['number']})"
        self.nothing_new()  # the schedule comes to the same logs

    def empty(self, week: int) -> None:
        self.district.deliver_nothing(week)
        self.nothing_new()

    def nothing_new(self) -> None:
        before = self.serving()
        record = self.run()
        assert record["release"]["version"] == before, "nothing new, and yet another release"
        assert record["release"]["reason"].startswith("it is the current release already")
        assert stages_of(record)["train"] == "skipped"

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
        killed = self.kill_in_training() if self.mondays is None else self.kill_scheduled(self.mondays)
        assert killed.was_killed, killed.output
        assert not killed.left_behind
        assert self.serving() == before
        [dead] = leases.dead(self.store)
        assert dead.stage == "train"
        record = self.promoted()
        assert stages_of(record)["preprocess"] == "skipped", "it goes on where it was killed"

    def kill_in_training(self) -> Killed:
        environment = {
            **os.environ,
            "HOMEROOM_STORE": self.settings.store,
            "HOMEROOM_KEYS": str(self.settings.keys),
            "PYTHONPATH": str(ROOT),
        }
        command = [sys.executable, "-m", "flows", "run", APPLICATION, "--no-prefect", "--data", *self.request.data]
        for text in OVERRIDES:
            command += ["--set", text]
        return kill_at(command, "epoch 2 of", environment=environment, folder=ROOT)

    def kill_scheduled(self, mondays: Mondays) -> Killed:
        """Kill the run of this Monday once its training has a checkpoint; its worker sees that it crashed."""
        run = mondays.comes()
        jobs = self.store.local_folder / "jobs"

        def trains() -> int | None:
            mine = [one for one in leases.running(self.store) if one.flow_run == str(run) and one.stage == "train"]
            return mine[0].pid if mine and any(jobs.glob("*/checkpoints/*.ckpt")) else None

        pid: int = within(300, trains, "the run trains")
        process = psutil.Process(pid)
        begun = time.monotonic()
        killed = kill_process(
            pid, lambda: None if process.is_running() else -signal.SIGKILL, started=begun, output=mondays.log
        )
        state = mondays.ended(run, 70.0).state
        assert state is not None
        assert state.type == StateType.CRASHED
        return killed

    def rolled_back(self, week: int) -> None:
        self.district.deliver(week)
        self.promoted()
        begin = time.monotonic()
        roll_back(self.store, APPLICATION, "teachers report odd answers")
        assert self.serving() == self.reigns[-2].release
        self.reign(begin)


def starts_of(played: Weeks) -> list[tuple[str, float]]:
    """Return each release that served and when, on the clock of `time.monotonic`, oldest first."""
    now = time.monotonic() - time.time()
    entries = played.registry.log(APPLICATION).entries()
    return [(one.champion.version, datetime.fromisoformat(one.at).timestamp() + now) for one in entries if one.champion]


def stages_of(record: dict[str, Any]) -> dict[str, str]:  # Any: JSON
    """Return what became of each stage of a run."""
    return {one["stage"]: one["status"] for one in record["stages"]}


def play(
    home: Path,
    weeks: Sequence[Callable[[Weeks, int], None]],
    *,
    workers: int,
    clients: int,
    pause_s: float,
    is_scheduled: bool = False,
) -> None:
    """Play the first, usual week and then the given ones, while clients ask all the time."""
    played = Weeks(home, 1 + len(weeks), is_scheduled=is_scheduled)
    with played.mondays or nullcontext():
        played.district.deliver(1)
        first = played.run()
        assert first["release"]["promoted"], first["release"]["reason"]
        followed = Following(played.settings.store, APPLICATION)
        begin = time.monotonic()
        with (
            start(
                followed,
                workers=workers,
                key_file=played.settings.release_key_file(),
                environment={"HOMEROOM_SERVE_STATUS": str(played.watch.status)},
            ) as server,
            asking(server.url, played.crowd, clients, pause_s) as load,
            played.watch if is_scheduled else nullcontext(),
        ):
            played.url = server.url
            played.reign(begin)
            for number, week in enumerate(weeks, start=2):
                week(played, number)
                print(f"week {number} ({week.__name__}): {played.serving()} serves; {len(load.asked)} answers so far")
    print(f"{len(load.asked)} answers, {len(load.failures)} failures, {len(played.watch.looks())} looks of the watch")
    swaps = [f"{seconds:.1f}" for seconds in load.overlaps(starts_of(played))]
    print(f"last answers of the former release, s after the entry of the next: {', '.join(swaps)}")
    assert load.failures == []
    assert load.strays(played.reigns) == []
    assert load.seen() == {reign.release for reign in played.reigns}

    check_story(played, weeks)


def check_story(played: Weeks, weeks: Sequence[Callable[[Weeks, int], None]]) -> None:
    """Read in the log what served, since when, who said so, and why; and in the watch's records what drifted."""
    history = played.registry.history(APPLICATION)
    assert [entry.version for entry in history] == [reign.release for reign in played.reigns]
    assert [entry.action for entry in history].count("rollback") == sum(w is Weeks.rolled_back for w in weeks)
    assert faults_of(played.registry.log(APPLICATION)) == []
    records = DecisionRecords(played.store)
    for entry in history:
        assert entry.since
        assert (entry.by or "").startswith("run ") == (entry.action == "promote")
        assert entry.reason
        folder = f"releases/{APPLICATION}/decisions/{entry.version}"
        decided = [Decision.from_json(played.store.read_record(path)) for path in played.store.list_records(folder)]
        assert [one for one in decided if one.digest == entry.decision and one.promote]
    for version in played.stopped:
        decision = records.latest(APPLICATION, version)
        assert decision is not None
        assert not decision.promote
        assert decision.reasons("stop")
    drifts = [one.get("action", one["kind"]) for one in played.watch.records.all()]
    if Weeks.drifted not in weeks:
        assert drifts == []
    else:  # afterwards students are marked as before: others than those that the new release learned from and knows
        assert drifts[:2] == ["run", "outcome"]
        assert set(drifts[2:]) <= {"cooling down"}, "a second run"


def test_a_week_as_usual_and_one_that_is_taken_back(tmp_path: Path) -> None:
    play(tmp_path, [Weeks.rolled_back], workers=2, clients=1, pause_s=0.05)


@pytest.mark.soak
def test_eight_weeks(tmp_path: Path) -> None:
    weeks = [
        Weeks.usual,
        Weeks.biased,
        Weeks.corrupt,
        Weeks.empty,
        Weeks.killed,
        Weeks.drifted,
        Weeks.rolled_back,
    ]
    play(tmp_path, weeks, workers=2, clients=8, pause_s=0.0, is_scheduled=True)
