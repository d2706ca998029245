"""Leases: who runs, who died, and in which stage; at once on one machine, by the heartbeat's age elsewhere."""

import os
import socket
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import psutil
import pytest

from components._testing.kills import die_at_write
from components.artifacts import JsonValue
from components.stage import StageEvent
from components.store import Store
from components.upkeep import leases
from components.upkeep.leases import Lease

REQUEST: dict[str, JsonValue] = {"application": "tracing", "data": ["a.csv"]}


def event(stage: str, status: str, artifact: str = "") -> StageEvent:
    assert status in ("started", "finished", "skipped")
    return StageEvent(stage=stage, status=status, reason="", key="k", artifact=artifact)  # type: ignore[arg-type]  # as above


def hold(store: Store, run: str = "r1") -> None:
    """Hold a lease through two stages; the writes are: lease, started, finished, started, end."""
    with leases.held(store, run=run, application="tracing", request=REQUEST) as lease:
        lease.observe(event("ingest", "skipped", "aa"))
        lease.observe(event("train", "started"))
        lease.observe(event("train", "finished", "bb"))
        lease.observe(event("export", "started"))


def killed_at(store: Store, write: int) -> Lease:
    assert die_at_write(lambda: hold(store), write)
    [lease] = leases.read_leases(store)
    return lease


def test_a_run_is_listed_while_it_runs_and_not_after(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with leases.held(store, run="r1", application="tracing", request=REQUEST, flow_run="f") as lease:
        lease.observe(event("ingest", "skipped", "aa"))
        lease.observe(event("train", "started"))
        [seen] = leases.running(Store(tmp_path / "store"))
        assert (seen.run, seen.application, seen.request, seen.flow_run) == ("r1", "tracing", REQUEST, "f")
        assert (seen.stage, seen.artifacts) == ("train", ("aa",))
        assert (seen.host, seen.pid) == (socket.gethostname(), os.getpid())
        assert seen.process_started_utc < seen.started_utc <= seen.heartbeat_utc
        started = datetime.fromisoformat(seen.process_started_utc).timestamp()
        assert started == pytest.approx(psutil.Process().create_time(), abs=1.0)
        assert leases.dead(store) == []
    assert leases.read_leases(store) == []
    assert list((tmp_path / "store" / "locks").iterdir()) == []


@pytest.mark.parametrize(
    ("write", "stage", "artifacts"),
    [(1, "", ()), (2, "train", ("aa",)), (3, "", ("aa", "bb")), (4, "export", ("aa", "bb"))],
)
@pytest.mark.multiprocess
def test_a_killed_run_is_dead_at_once_with_its_stage(
    write: int, stage: str, artifacts: tuple[str, ...], tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    lease = killed_at(store, write)
    assert leases.running(store) == []
    assert leases.dead(store) == [lease]
    assert (lease.stage, lease.artifacts) == (stage, artifacts)


@pytest.mark.multiprocess
def test_another_process_with_the_same_number_does_not_bring_it_back(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    lease = replace(killed_at(store, 2), pid=os.getpid())
    store.write_record(leases.path_of(lease.run), lease.to_json())
    assert leases.dead(store) == [lease]


@pytest.mark.multiprocess
def test_from_another_machine_the_age_of_the_heartbeat_tells(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    lease = replace(killed_at(store, 2), host="another.machine")
    beat = datetime.fromisoformat(lease.heartbeat_utc)
    assert leases.status_of(store, lease, beat + timedelta(seconds=59)) == "running"
    assert leases.status_of(store, lease, beat + timedelta(seconds=61)) == "dead"
    # the same machine's name and no lock file: a container of that name, with the same store
    (tmp_path / "store" / "locks" / "run-r1.lock").unlink()
    here = replace(lease, host=socket.gethostname())
    assert leases.status_of(store, here, beat + timedelta(seconds=59)) == "running"
    assert leases.status_of(store, here, beat + timedelta(seconds=61)) == "dead"


@pytest.mark.parametrize(
    ("error", "status"),
    [(ValueError("bad data"), "failed"), (KeyboardInterrupt(), "stopped"), (SystemExit(2), "stopped")],
)
def test_a_run_that_ends_by_an_error_says_so(error: BaseException, status: str, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")

    def run() -> None:
        with leases.held(store, run="r1", application="tracing", request=REQUEST) as lease:
            lease.observe(event("ingest", "started"))
            raise error

    with pytest.raises(type(error)):
        run()
    [left] = leases.read_leases(store)
    assert leases.status_of(store, left) == status
    assert (left.stage, left.error) == ("ingest", type(error).__name__)
    assert leases.running(store) == leases.dead(store) == []
    leases.forget(store, "r1")
    assert leases.read_leases(store) == []


def test_heartbeats_go_on_and_a_late_one_does_not_bring_the_run_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "HEARTBEAT_S", 0.01)
    store = Store(tmp_path / "store")
    with leases.held(store, run="r1", application="tracing", request=REQUEST) as lease:
        first = lease.lease.heartbeat_utc
        for _ in range(1000):
            if leases.read_leases(store)[0].heartbeat_utc > first:
                break
            os.sched_yield()
        else:
            pytest.fail("no heartbeat was written")
    lease.beat()
    assert leases.read_leases(store) == []


def test_a_record_that_cannot_be_read_is_no_lease(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.write_record("leases/odd.json", {"run": "odd"})
    (tmp_path / "store" / "records" / "leases" / "half.json").write_text('{"run":')
    assert leases.read_leases(store) == []
