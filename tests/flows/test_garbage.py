"""Garbage collection of a store with releases: what stays, what goes, and that everything works as before."""

import json
import os
import shutil
import threading
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from components.artifacts import FairnessReport, Lineage
from components.errors import ConfigError, StoreError
from components.stage import PENDING, StageEvent
from components.store import Store
from components.upkeep.garbage import Garbage
from flows.__main__ import main
from flows.garbage import Retention, delete_garbage_of, garbage_of, scheduled_requests
from flows.lineage import lineage_tree
from flows.operations import run_request
from flows.releases import take_release
from flows.settings import Settings
from flows.summary import RunSummary
from serving.bundle import load_bundle
from serving.health import golden_problems
from serving.registry import ReleaseRegistry
from tests.conftest import Released

pytestmark = pytest.mark.slow

APPLICATION = "knowledge_tracing"
LATER = timedelta(days=100)
ALL = Retention(keep_runs=1, keep_days=0, grace_hours=1)


def digests(summary: RunSummary) -> dict[str, str]:
    return {stage: artifact["sha256"] for stage, artifact in summary.to_json()["artifacts"].items()}


def age(store: Store, by: timedelta = LATER) -> None:
    """Make everything in a folder store older."""
    assert store.local_root is not None
    for path in [store.local_root, *store.local_root.rglob("*")]:
        then = path.stat().st_mtime - by.total_seconds()
        os.utime(path, (then, then))


@pytest.fixture
def settings(released: Released, tmp_path: Path) -> Settings:
    """Return settings over a copy of the released store, where everything is old."""
    settings = Settings(store=str(tmp_path / "store"), cache=tmp_path / "cache", keys=released.settings.keys)
    shutil.copytree(released.untouched, settings.store)
    age(settings.open_store())
    return settings


def unneeded(store: Store, body: bytes = b"{}") -> FairnessReport:
    """Publish an artifact with its stage record that nothing refers to."""
    with store.scratch() as scratch:
        (scratch / "out").mkdir()
        (scratch / "out" / "groups.json").write_bytes(body)
        draft = FairnessReport(ref=PENDING, lineage=Lineage(stage="fairness"), verdict="fail")
        made = store.publish(draft, scratch / "out")
    key = made.sha256[::-1]
    store.write_record(
        f"stages/{APPLICATION}/fairness/{key}.json",
        {"format": 1, "key": key, "parts": {}, "artifact": made.to_json(), "finished_utc": "2026-01-01"},
    )
    return made


def serves(settings: Settings, version: str | None = None) -> None:
    """Check that a release verifies, answers its golden requests, and has its whole lineage."""
    store = settings.open_store()
    registry = ReleaseRegistry(store)
    current = registry.current(APPLICATION)
    assert current is not None
    release = registry.find(version or current.version)
    store.verify(release)
    assert golden_problems(load_bundle(store.folder(release), settings.read_signing_key())) == ()
    assert '"missing"' not in json.dumps(lineage_tree(store, release))


def test_all_that_a_release_needs_stays_however_old(settings: Settings) -> None:
    store = settings.open_store()
    before = set(store.place.list("artifacts")) | set(store.place.list("records"))
    garbage = garbage_of(store, ALL)
    # the simulated district is no parent of the release: its logs were copied out and given as raw files
    kinds = Counter(one.kind for one in garbage)
    assert (kinds["artifact"], kinds["stage record"]) == (1, 1)
    assert set(kinds) <= {"artifact", "stage record", "lock"}
    assert {one.reason for one in garbage if one.kind == "artifact"} == {
        "SimulatedLogs of no release, kept run or recent run"
    }
    assert set(store.place.list("artifacts")) | set(store.place.list("records")) == before  # nothing was changed

    gone = delete_garbage_of(store, ALL)
    assert [(one.kind, one.path) for one in gone] == [(one.kind, one.path) for one in garbage]
    assert garbage_of(store, ALL) == []
    serves(settings)


def test_a_run_afterwards_skips_what_was_kept_and_makes_the_rest_again_with_the_same_bytes(
    released: Released, settings: Settings
) -> None:
    store = settings.open_store()
    dataset = released.summary.outcome.dataset.sha256
    # a run whose release and record are gone: what nothing refers to goes, and nothing else
    shutil.rmtree(Path(settings.store) / "records" / "releases")
    shutil.rmtree(Path(settings.store) / "records" / "runs")
    store.use(released.summary.outcome.dataset)
    delete_garbage_of(store, ALL)
    left = {path.split("/")[1] for path in store.place.list("artifacts")}
    outcome = released.summary.outcome
    assert left == {dataset, outcome.logs.sha256, outcome.raw.sha256}

    events: list[StageEvent] = []
    again = run_request(released.summary.request, settings, observe=events.append)
    status = {event.stage: event.status for event in events if event.status != "started"}
    assert [status.pop(stage) for stage in ("ingest", "preprocess")] == ["skipped", "skipped"]
    assert set(status.values()) == {"finished"}
    assert digests(again) == digests(released.summary)
    serves(settings)


@pytest.fixture
def two_releases(released: Released, second_release: tuple[Path, str], tmp_path: Path) -> tuple[Settings, str, str]:
    """Return settings over a copy of it where everything is old, and the versions of both releases."""
    path, second = second_release
    settings = Settings(store=str(tmp_path / "two"), cache=tmp_path / "cache", keys=released.settings.keys)
    shutil.copytree(path, settings.store)
    age(settings.open_store())
    return settings, released.summary.outcome.release.version, second


def test_after_it_the_release_serves_and_the_one_before_comes_back(two_releases: tuple[Settings, str, str]) -> None:
    settings, first, second = two_releases
    store = settings.open_store()
    unneeded(store)
    age(store)
    kinds = Counter(one.kind for one in delete_garbage_of(store, ALL))
    assert (kinds["artifact"], kinds["stage record"]) == (2, 2)  # the unneeded report, the simulated district
    serves(settings, second)
    pointer = ReleaseRegistry(store).rollback(APPLICATION, "the council wants it")
    assert pointer.version == first
    serves(settings, first)


def forget_that_it_served(store: Store, version: str) -> None:
    """Delete the entries of the log that name a release, as if it had never served."""
    for path in store.list_records(f"releases/{APPLICATION}/log"):
        if version in str(store.read_record(path)["champion"]):
            store.delete_record(path)


def test_a_release_that_never_served_goes_only_when_asked_for(two_releases: tuple[Settings, str, str]) -> None:
    settings, first, _ = two_releases
    store = settings.open_store()
    registry = ReleaseRegistry(store)
    release = registry.find(first)
    forget_that_it_served(store, first)
    assert not any(one.artifact == release.sha256 for one in garbage_of(store, ALL))
    retention = replace(ALL, drop_unserved=True)
    assert {one.kind for one in garbage_of(store, retention)} >= {"release", "run", "artifact"}
    assert not any(one.kind == "release" for one in garbage_of(store, replace(retention, keep_runs=2)))
    assert not any(one.kind == "release" for one in garbage_of(store, replace(retention, keep_days=365)))
    delete_garbage_of(store, retention)
    with pytest.raises(Exception, match="there is none"):
        registry.find(first)
    serves(settings)


def test_the_latest_run_of_a_schedule_stays(two_releases: tuple[Settings, str, str], released: Released) -> None:
    settings, first, _ = two_releases
    store = settings.open_store()
    forget_that_it_served(store, first)
    retention = replace(ALL, drop_unserved=True)
    assert any(one.kind == "run" for one in garbage_of(store, retention))
    assert not any(one.kind == "run" for one in garbage_of(store, retention, scheduled=[released.summary.request]))


@pytest.mark.multiprocess
def test_beside_a_running_flow_nothing_that_it_uses_goes(released: Released, settings: Settings) -> None:
    """Old results that nothing refers to: the flow takes them into use while collectors delete what they can."""
    store = settings.open_store()
    shutil.rmtree(Path(settings.store) / "records" / "releases")
    shutil.rmtree(Path(settings.store) / "records" / "runs")
    for number in range(200):
        unneeded(store, json.dumps(number).encode())
    age(store)
    done = threading.Event()
    gone: list[Garbage] = []
    errors: list[Exception] = []

    def collect() -> None:
        while not done.wait(0.02):
            try:
                gone.extend(delete_garbage_of(Store(settings.store), ALL))
            except Exception as error:
                errors.append(error)
                return

    collector = threading.Thread(target=collect)
    collector.start()
    try:
        summary = run_request(released.summary.request, settings)
    finally:
        done.set()
        collector.join(60)
    assert errors == []
    assert digests(summary) == digests(released.summary)
    assert sum(one.kind == "artifact" for one in gone) >= 200
    serves(settings)
    assert run_request(released.summary.request, settings).outcome.release == summary.outcome.release


def test_a_release_that_was_taken_to_serve_is_registered_and_stays(settings: Settings, released: Released) -> None:
    """As one made from code, which no run registered."""
    store = settings.open_store()
    release = released.summary.outcome.release
    for name in ("releases", "runs"):
        shutil.rmtree(Path(settings.store) / "records" / name)
    assert any(one.artifact == release.sha256 for one in garbage_of(store, ALL))
    assert take_release(store, release.version) == release
    assert not any(one.artifact == release.sha256 for one in garbage_of(store, ALL))
    age(store)
    assert not any(one.artifact == release.sha256 for one in garbage_of(store, ALL))
    delete_garbage_of(store, ALL)
    store.verify(release)


def test_a_young_result_and_what_it_was_made_from_stay(settings: Settings, released: Released) -> None:
    store = settings.open_store()
    made = unneeded(store)
    assert not any(one.artifact == made.sha256 for one in garbage_of(store, ALL))
    age(store, timedelta(hours=2))
    assert {one.kind for one in garbage_of(store, ALL) if one.artifact == made.sha256} == {"artifact", "stage record"}
    assert not any(one.artifact == made.sha256 for one in garbage_of(store, replace(ALL, keep_days=1)))
    store.use(made)
    assert not any(one.artifact == made.sha256 for one in garbage_of(store, ALL))


def test_a_damaged_record_of_the_registry_stops_it(settings: Settings) -> None:
    path = Path(settings.store) / "records" / "releases" / APPLICATION / "current.json"
    path.write_text("{")
    with pytest.raises(StoreError, match=r"current.json in .* is no record of a release that can be read.*Restore it"):
        garbage_of(settings.open_store(), ALL)


def test_retention_is_checked() -> None:
    with pytest.raises(ConfigError, match=r"keep_runs is 0; expected at least 1.*keep_days is -1"):
        Retention(keep_runs=0, keep_days=-1)


def test_a_prefect_server_that_does_not_answer_stops_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    assert scheduled_requests() == []
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setattr("flows.schedules.scheduled_requests", lambda: (_ for _ in ()).throw(OSError("refused")))
    with pytest.raises(StoreError, match=r"does not say what is scheduled .*Start that server, or unset"):
        scheduled_requests()


def test_the_command_shows_first_and_deletes_when_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOMEROOM_STORE", settings.store)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    store = settings.open_store()
    made = unneeded(store)
    age(store)

    def gc(*options: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["gc", "--keep-days", "0", *options])
        assert ended.value.code == 0
        return capsys.readouterr().out

    shown = gc()
    assert f"artifacts/{made.sha256}: FairnessReport of no release, kept run or recent run" in shown
    assert "Nothing was changed; --delete does it." in shown
    assert store.find(made.sha256) == made
    listed = json.loads(gc("--json"))
    assert (listed["deleted"], listed["bytes"]) == (False, sum(o["bytes"] for o in listed["garbage"]))
    assert "Deleted from" in gc("--delete")
    assert "Nothing to delete" in gc()
    serves(settings)
