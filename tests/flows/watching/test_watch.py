"""`homeroom watch`: from the workers' counts to a recorded drift and the run that it starts, and what holds it back."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest
from click.testing import CliRunner

from benchmarks.drift import added
from components.artifacts import JsonValue
from components.errors import ConfigError, StoreError
from components.monitoring.counts import GROUPS, SignalCounts
from components.monitoring.reference import Reference, reference_of
from components.monitoring.windows import DriftLimits
from components.processes import Start, start_of
from components.store import Store
from flows.__main__ import cli
from flows.request import RunRequest
from flows.runs import command_of
from flows.watching.records import WatchRecords
from flows.watching.totals import Totals
from flows.watching.watch import Action, Look, Watch
from serving.monitor_metrics import LAST_WATCH
from serving.registry import ReleaseRegistry
from serving.status import WorkerStatus
from serving.tally import Tally
from tests.serving.releasing import APPLICATION, plain, release_of

SIGNALS = ("probability", "history")
EACH = 1200
"""Requests: more than a window of theirs needs."""
STARTED = start_of(os.getpid()) or Start("", 0.0)


def reference() -> Reference:
    one = reference_of(np.random.default_rng(1).normal(size=5000), np.arange(5000))
    assert one is not None
    return Reference(split="test", requests=5000, students=5000, signals=dict.fromkeys(SIGNALS, one))


class Bench:
    """A store with a release that has a reference, a status folder, and a worker that is this process."""

    def __init__(self, folder: Path, *, has_reference: bool = True) -> None:
        self.store = Store(folder / "store")
        self.status = folder / "status"
        self.status.mkdir()
        extra = {"reference.json": json.dumps(reference().to_json()).encode()} if has_reference else {}
        self.slot = release_of(self.store, lambda to: plain(to, extra=extra))
        found = self.store.find(self.slot.artifact)
        ReleaseRegistry(self.store).register(found)  # type: ignore[arg-type]  # it is a release
        self.source = np.random.default_rng(7)
        self.counts = {name: SignalCounts(bins=[0] * len(one.counts)) for name, one in reference().signals.items()}
        self.asked: list[RunRequest] = []
        self.emitted: list[str] = []
        self.came = ("another-0123456789ab", True)
        self.logs = folder / "logs.csv"
        self.logs.write_text("student,item,correct\n")
        self.now = datetime.now(UTC)

    def had_run(self) -> None:
        """Record a finished run, whose request can be run again."""
        request = RunRequest(application=APPLICATION, data=(str(self.logs),), refresh=("train",), reason="the first")
        self.store.write_record(f"runs/{APPLICATION}/20260101T000000-aaaaaa.json", {"request": request.to_json()})

    def answer(self, count: int, shift: float = 0.0) -> None:
        """Have the worker answer so many requests more, the probability shifted by `shift` standard deviations."""
        for name, one in reference().signals.items():
            values = self.source.normal(size=count) + (shift if name == "probability" else 0.0)
            groups = np.arange(count) % GROUPS
            self.counts[name] = added(self.counts[name], values, np.array(one.edges), groups)
        self.write(self.slot.version)

    def write(self, release: str, pid: int | None = None) -> None:
        status = WorkerStatus(
            pid=os.getpid(),
            started=STARTED.at_s,
            boot=STARTED.boot,
            at=0.0,
            entry=1,
            release=release,
            challenger=None,
            percent=0,
            shadow=None,
            ready=True,
            reason="",
            behind="",
            releases={release: Tally(signals=self.counts)},
        )
        (self.status / f"{pid or os.getpid()}.json").write_text(json.dumps(status.to_json()))

    def run(self, request: RunRequest) -> Any:
        self.asked.append(request)
        version, promoted = self.came
        release = SimpleNamespace(version=version)
        decision = SimpleNamespace(promote=promoted, reason="it is better")
        return SimpleNamespace(run="run-1", outcome=SimpleNamespace(release=release), decision=decision)

    def emit(self, application: str, reason: str, payload: dict[str, JsonValue]) -> bool:
        self.emitted.append(reason)
        return True

    def watch(self, action: Action = "run", run: Callable[[RunRequest], Any] | None = None) -> Watch:
        return Watch(
            application=APPLICATION,
            store=self.store,
            status=self.status,
            run=run or self.run,
            emit=self.emit,
            action=action,
            now=lambda: self.now,
        )

    def looks(self, shifts: Sequence[float], **options: Any) -> list[Look]:
        """Look after EACH requests more; a new `Watch` each time, as `--once` makes it."""
        found = []
        for shift in shifts:
            self.answer(EACH, shift)
            found.append(self.watch(**options).look())
        return found

    @property
    def records(self) -> list[dict[str, Any]]:
        return WatchRecords(self.store, APPLICATION).all()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_without_a_drift_nothing_is_recorded_and_the_figures_are_told(bench: Bench) -> None:
    bench.had_run()
    *_, last = bench.looks([0.0] * 6)
    assert (bench.records, bench.asked, last.drifts) == ([], [], ())
    assert len(last.windows) == 2
    assert max(abs(one.effect) for one in last.windows) < 0.15
    assert "no new drift; 2 of 2 signals have windows" in last.told


def test_a_drift_is_recorded_and_starts_one_run_that_knows_why(bench: Bench) -> None:
    bench.had_run()
    looks = bench.looks([0.0, 0.0, 0.5, 0.5, 0.5, 0.5])
    assert [one.alarm for one in looks] == [None, None, None, 1, None, None]
    drift, outcome = bench.records
    assert (drift["number"], drift["kind"], drift["action"], drift["release"]) == (
        1,
        "drift",
        "run",
        bench.slot.version,
    )
    (signal,) = drift["signals"]
    assert (signal["signal"], signal["found"], signal["windows"], signal["of"]) == ("probability", "up", 2, 3)
    assert signal["effect"] == pytest.approx(0.5, abs=0.15)
    assert outcome["alarm"] == 1
    assert (outcome["kind"], outcome["release"], outcome["promoted"]) == ("outcome", "another-0123456789ab", True)
    (request,) = bench.asked
    assert request.reason == f"{drift['why']} (alarm 1)"
    assert "probability up by 0." in request.reason
    assert request.data == (str(bench.logs),)
    assert request.refresh == ()
    assert "came out, promoted: it is better" in looks[3].told
    assert bench.emitted == [request.reason]
    # What the workers show.
    shown = json.loads((bench.status / LAST_WATCH).read_text())["shown"]
    assert (shown["probability"]["alarm"], shown["history"]["alarm"]) == (1.0, 0.0)
    assert shown["probability"]["windows"] == 6.0


def test_a_second_drift_waits_for_the_cool_down(bench: Bench) -> None:
    bench.had_run()
    up = [0.5, 0.5]
    over = [0.0, 0.0, 0.0]
    assert bench.looks([*up, *over, *up])[-1].action == "cooling down"
    assert [one["action"] for one in bench.records if one["kind"] == "drift"] == ["run", "cooling down"]
    assert len(bench.asked) == 1
    bench.now += timedelta(days=7, minutes=1)
    assert bench.looks([*over, *up])[-1].action == "run"
    assert len(bench.asked) == 2


def test_the_same_release_again_means_that_the_logs_have_not_changed(bench: Bench) -> None:
    bench.had_run()
    bench.came = (bench.slot.version, False)
    assert "the logs have not changed since" in bench.looks([0.5, 0.5])[-1].told


@pytest.mark.parametrize("lost", [False, True])
def test_without_data_it_says_so(bench: Bench, lost: bool) -> None:
    if lost:
        bench.had_run()
        bench.logs.unlink()
    last = bench.looks([0.5, 0.5])[-1]
    assert (last.action, bench.asked, last.alarm) == ("no data", [], 1)
    assert "no data to retrain with" in last.told


def test_an_event_alone_or_nothing_but_a_record(bench: Bench) -> None:
    bench.had_run()
    assert bench.looks([0.5, 0.5], action="event")[-1].told.endswith("Prefect was told")
    assert bench.asked == []
    assert len(bench.emitted) == 1
    assert bench.looks([0.0, 0.0, 0.0, 0.5, 0.5], action="none")[-1].action == "none"
    assert bench.asked == []


def test_a_run_that_fails_is_recorded_and_told(bench: Bench) -> None:
    bench.had_run()

    def fails(request: RunRequest) -> Any:
        raise StoreError("The store went away.")

    with pytest.raises(StoreError, match="went away"):
        bench.looks([0.5, 0.5], run=fails)
    assert [one["kind"] for one in bench.records] == ["drift", "outcome"]
    assert bench.records[1]["error"] == "StoreError"
    assert bench.looks([0.5])[-1].alarm is None  # it is the same drift, and to be tried again tomorrow


def kinds(bench: Bench) -> list[str]:
    return [one["action"] for one in bench.records if one["kind"] == "drift"]


def test_a_drift_that_lasts_starts_a_run_once_in_every_cool_down(bench: Bench) -> None:
    bench.had_run()
    bench.came = (bench.slot.version, False)  # nothing gets better of it
    bench.looks([0.5] * 6)
    assert kinds(bench) == ["run"]
    for days, runs in ((6, 1), (1.1, 2), (6, 2), (1.1, 3)):
        bench.now += timedelta(days=days)
        bench.looks([0.5] * 3)
        assert kinds(bench) == ["run"] * len(bench.asked)
        assert len(bench.asked) == runs
    assert bench.records[2]["why"].startswith(f"drift of {bench.slot.version} goes on: probability up by 0.")
    assert bench.asked[1].reason.endswith("(alarm 3)")


def test_without_new_windows_or_once_it_is_over_nothing_is_started(bench: Bench) -> None:
    bench.had_run()
    bench.looks([0.5, 0.5])
    bench.now += timedelta(days=30)
    assert bench.watch().look().alarm is None  # nobody asked since
    bench.looks([0.0, 0.0, 0.0])
    assert kinds(bench) == ["run"]
    bench.now += timedelta(days=30)
    bench.looks([0.0] * 2)
    assert len(bench.asked) == 1


def test_what_began_in_a_cool_down_starts_a_run_after_it(bench: Bench) -> None:
    bench.had_run()
    bench.looks([0.5, 0.5, 0.0, 0.0, 0.0, 0.5, 0.5, 0.5])
    assert kinds(bench) == ["run", "cooling down"]
    bench.now += timedelta(days=7, minutes=1)
    bench.looks([0.5])
    assert kinds(bench) == ["run", "cooling down", "run"]


@pytest.mark.parametrize("error", [StoreError("The store went away."), RuntimeError("out of memory")])
def test_a_run_that_failed_is_started_again_a_day_later(bench: Bench, error: Exception) -> None:
    bench.had_run()

    def fails(request: RunRequest) -> Any:
        raise error

    with pytest.raises(type(error)):
        bench.looks([0.5, 0.5], run=fails)
    assert bench.records[1]["error"] == type(error).__name__
    assert bench.looks([0.5])[-1].alarm is None
    bench.now += timedelta(days=1, minutes=1)
    assert bench.looks([0.5])[-1].run == "run-1"
    bench.looks([0.5])
    assert len(bench.asked) == 1  # that one did not fail: the cool-down is a whole one


def test_where_there_was_no_data_it_looks_again_a_day_later(bench: Bench) -> None:
    bench.looks([0.5] * 4)
    assert kinds(bench) == ["no data"]
    bench.had_run()
    bench.now += timedelta(days=1, minutes=1)
    assert bench.looks([0.5])[-1].action == "run"


def test_an_event_that_nobody_took_is_sent_again_a_day_later(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "emit", lambda application, reason, payload: False)
    assert bench.looks([0.5, 0.5], action="event")[-1].told.endswith("no Prefect server took the event")
    bench.now += timedelta(days=1, minutes=1)
    assert bench.looks([0.5, 0.5], action="event")[0].alarm == 3
    bench.looks([0.5] * 2, action="none")
    assert kinds(bench) == ["event"] * 2


def test_a_drift_that_could_not_be_recorded_is_no_less_new(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.had_run()
    add = WatchRecords.add

    def broken(self: WatchRecords, kind: str, value: Any) -> int:
        raise StoreError("The store went away.")

    monkeypatch.setattr(WatchRecords, "add", broken)
    with pytest.raises(StoreError, match="went away"):
        bench.looks([0.5, 0.5])
    monkeypatch.setattr(WatchRecords, "add", add)
    assert bench.watch().look().alarm == 1
    assert len(bench.asked) == 1


def test_who_cannot_be_watched(tmp_path: Path) -> None:
    bench = Bench(tmp_path, has_reference=False)
    assert "nothing is judged" in bench.watch().look().told  # no worker yet
    bench.answer(10)
    assert "has no reference to watch by" in bench.watch().look().told
    bench.write("essay_grading-0123456789ab")
    with pytest.raises(ConfigError, match="no release of knowledge_tracing"):
        bench.watch().look()
    with pytest.raises(ConfigError, match="There is no status folder"):
        replace(bench.watch(), status=tmp_path / "none").look()


def test_a_damaged_state_of_the_watch_begins_anew(bench: Bench) -> None:
    bench.looks([0.5])
    (bench.status / LAST_WATCH).write_text("{")
    bench.had_run()
    assert bench.looks([0.5])[-1].alarm is None  # one window alone
    assert bench.looks([0.5])[-1].alarm == 1


def test_a_worker_that_begins_anew_is_added_and_not_taken_off() -> None:
    def status(count: int, pid: int) -> WorkerStatus:
        counts = SignalCounts(bins=[count], numbers=[count] + [0] * (GROUPS - 1))
        tally = Tally(signals={"a": counts})
        fields: dict[str, Any] = dict.fromkeys(("challenger", "shadow", "entry"))
        return WorkerStatus(
            pid=pid, started=1.0, at=1.0, release="r", percent=0, ready=True, reason="", behind="",
            releases={"r": tally}, **fields,
        )  # fmt: skip

    totals = Totals()
    seen = []
    for counts in ([(5, 1)], [(9, 1), (4, 2)], [(2, 1), (4, 2)], [(6, 2)]):
        totals.read([status(*one) for one in counts], "r")
        totals = Totals.from_json(json.loads(json.dumps(totals.to_json())))
        seen.append(totals.sum()["a"].count)
    assert seen == [5, 13, 15, 17]


def test_workers_that_end_again_and_again_are_added_up_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    living: set[int] = set()
    monkeypatch.setattr(psutil, "pid_exists", living.__contains__)
    fields: dict[str, Any] = dict.fromkeys(("challenger", "shadow", "entry"))
    totals = Totals()
    for pid in range(1, 301):  # a worker that its release takes down, for a night
        living.clear()
        living.update({pid, 1_000})  # 1000 cannot be read now and then
        tally = Tally(signals={"a": SignalCounts(bins=[2], numbers=[2] + [0] * (GROUPS - 1))})
        statuses = [
            WorkerStatus(
                pid=one, started=1.0, at=1.0, release="r", percent=0, ready=True, reason="", behind="",
                releases={"r": tally}, **fields,
            )
            for one in ([pid, 1_000] if pid % 2 else [pid])
        ]  # fmt: skip
        totals.read(statuses, "r")
        assert len(totals.latest) <= 2
    assert totals.sum()["a"].count == 2 * 300 + 2


def test_two_watches_at_once_write_two_records(bench: Bench) -> None:
    records = WatchRecords(bench.store, APPLICATION)
    path = f"drift/{APPLICATION}/00000001.json"
    bench.store.write_record(path, {"format": 1, "number": 1, "kind": "drift", "at": "2026-01-01", "action": "none"})
    records._paths = list  # type: ignore[method-assign]  # as if it had looked before the other one wrote
    assert records.add("drift", {"action": "none"}) == 2
    with pytest.raises(ConfigError, match="no application's name"):
        WatchRecords(bench.store, "../x")


def test_a_reason_changes_nothing_of_a_request_but_its_record() -> None:
    request = RunRequest(application=APPLICATION, data=("a.csv",))
    assert "reason" not in request.to_json()  # the names of schedules are digests of it
    because = replace(request, reason="drift of x")
    assert RunRequest.from_json(because.to_json()) == because
    assert because.asks_the_same(request.to_json())
    assert request.asks_the_same(because.to_json())
    assert not replace(request, config="full").asks_the_same(because.to_json())
    assert command_of(because).endswith("--reason 'drift of x'")
    for wrong in ("two\nlines", "x" * 2001):
        with pytest.raises(ConfigError, match="one line"):
            replace(request, reason=wrong)


def test_the_command_looks_once_and_prints_json(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMEROOM_STORE", str(bench.store.local_root))
    bench.answer(EACH)
    arguments = ["watch", APPLICATION, "--status", str(bench.status), "--once", "--json", "--action", "none"]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    said = json.loads(result.output)
    assert said["release"] == bench.slot.version
    assert len(said["windows"]) == 2
    assert said["drifts"] == []
    assert CliRunner().invoke(cli, ["watch", APPLICATION, "--once"]).exit_code == 2  # which server?


def test_limits_reach_the_windows(bench: Bench) -> None:
    bench.had_run()
    bench.answer(EACH, 0.5)
    look = replace(bench.watch(), limits=DriftLimits(effect=1.0)).look()
    assert all(not one.found for one in look.windows)
