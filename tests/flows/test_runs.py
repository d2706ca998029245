"""`homeroom runs`: running, finished, dead and failed runs, and what goes on with them."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from components._testing.kills import die_at_write
from components.artifacts import JsonValue
from components.errors import ConfigError
from components.stage import StageEvent
from components.store import Store
from components.upkeep import leases
from flows.__main__ import cli
from flows.request import RunRequest
from flows.runs import command_of, forget_continued, forget_run, list_runs, tell_of_dead_runs

REQUEST = RunRequest(application="tracing", data=("my answers.csv",), overrides=("train.max_epochs=3",))
OTHER = RunRequest(application="tracing", data=("b.csv",))
RECORD: dict[str, JsonValue] = {"seconds": 12.34, "release": {"version": "tracing-0123456789ab"}}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("HOMEROOM_STORE", str(tmp_path / "store"))
    return Store(tmp_path / "store")


def die_in_training(store: Store, run: str, request: RunRequest = REQUEST) -> None:
    def train() -> None:
        with leases.held(store, run=run, application="tracing", request=request.to_json()) as lease:
            lease.observe(StageEvent(stage="train", status="started", reason="", key=""))
            store.write_record("never", {})

    assert die_at_write(train, 2)


def test_finished_dead_and_running_runs_are_listed_with_the_way_on(store: Store) -> None:
    store.write_record("runs/tracing/20260101T120000-aaaaaa.json", RECORD)
    die_in_training(store, "20260102T120000-bbbbbb")
    with leases.held(store, run="20260103T120000-cccccc", application="tracing", request=OTHER.to_json()):
        found = list_runs(store)
        shown = CliRunner().invoke(cli, ["runs"]).output
        listed = json.loads(CliRunner().invoke(cli, ["runs", "tracing", "--json"]).output)
    assert [(r.run[-6:], r.status, r.stage) for r in found] == [
        ("aaaaaa", "finished", ""),
        ("bbbbbb", "dead", "train"),
        ("cccccc", "running", ""),
    ]
    command = "homeroom run tracing --data 'my answers.csv' --config small --set train.max_epochs=3"
    assert [r.command for r in found] == ["", command, ""]
    assert [r.to_json() for r in found] == listed or [r["run"] for r in listed] == [r.run for r in found]
    assert "bbbbbb  dead      tracing  in train" in shown
    assert f"go on with: {command}" in shown
    assert "tracing-0123456789ab" in shown
    assert list_runs(store, "essays") == []


def test_only_the_latest_finished_runs_are_shown_but_all_that_died(store: Store) -> None:
    die_in_training(store, "20250101T120000-dddddd")
    for day in range(1, 6):
        store.write_record(f"runs/tracing/2026010{day}T120000-aaaaaa.json", RECORD)
    assert [r.run[:8] for r in list_runs(store, latest=2) if r.status == "finished"] == ["20260104", "20260105"]
    assert [r.status for r in list_runs(store, latest=2)].count("dead") == 1
    assert len(list_runs(store)) == 6


def test_a_run_killed_after_its_record_has_finished(store: Store) -> None:
    run = "20260101T120000-aaaaaa"
    die_in_training(store, run)
    store.write_record(f"runs/tracing/{run}.json", RECORD)
    assert [r.status for r in list_runs(store)] == ["finished"]


def test_the_next_run_says_that_one_died_and_where_it_goes_on(store: Store) -> None:
    said: list[str] = []
    tell_of_dead_runs(store, REQUEST, said.append)
    assert said == []
    die_in_training(store, "r1")
    tell_of_dead_runs(store, REQUEST, said.append)
    tell_of_dead_runs(store, OTHER, said.append)
    assert "run r1 of this request died in stage train; going on from there" in said[0]
    assert said[1].startswith("1 other run(s) in this store died")
    assert len(said) == 2


def test_a_finished_run_takes_those_off_the_list_that_it_went_on_with(store: Store) -> None:
    die_in_training(store, "r1")
    die_in_training(store, "r2", OTHER)
    with leases.held(store, run="r3", application="tracing", request=REQUEST.to_json()):
        forget_continued(store, REQUEST)
        assert [(lease.run) for lease in leases.read_leases(store)] == ["r2", "r3"]


def test_a_dead_run_can_be_forgotten_and_a_live_one_cannot(store: Store) -> None:
    die_in_training(store, "r1")
    assert CliRunner().invoke(cli, ["runs", "--forget", "r1"]).output.startswith("no runs in ")
    with pytest.raises(ConfigError, match="no dead, failed or stopped run"):
        forget_run(store, "r1")
    with (
        leases.held(store, run="r2", application="tracing", request=REQUEST.to_json()),
        pytest.raises(ConfigError, match="it is running"),
    ):
        forget_run(store, "r2")


def test_the_command_says_all_that_was_asked() -> None:
    # the type of each field decides; a new field that the command line has must be in the command
    values: dict[str, Any] = {
        f.name: f"the-{f.name}" if f.type in (str, "str") else (f"the-{f.name}", f"more-{f.name}")
        for f in fields(RunRequest)
    }
    command = command_of(RunRequest(**values))
    for value in values.values():
        for word in [value] if isinstance(value, str) else value:
            assert word in command
