"""Following while S3 cuts bodies short, the disk is full, or the clock jumps: the old release keeps answering."""

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components.store import Store
from components.testing import ALWAYS, S3Server, cut_body
from serving.follow import FIRST_RETRY_S, LAST_ENTRY, Follower
from serving.registry import Slot, State
from serving.settings import ServiceSettings
from serving.status import Reporter, read_statuses
from serving.supervise.limits import Limits
from serving.supervise.supervisor import Supervisor
from tests.serving.bundles import probability_of, request_of
from tests.serving.following import Bench, probability, shifted_probability
from tests.serving.releasing import plain, release_of, say, shifted

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")


@pytest.fixture
def remote(tmp_path: Path, s3: S3Server, slow_settings: ServiceSettings) -> Iterator[tuple[Bench, Slot, Slot]]:
    """Return a server that follows a log on S3 and answers by its first release, and a second release."""
    store = Store("s3://follow/store", cache=tmp_path / "cache")
    for path in store.list_records("releases"):  # the bucket is the session's
        store.delete_record(path)
    bench = Bench(store, slow_settings, tmp_path / "status")
    a, b = release_of(store, plain), release_of(store, shifted)
    say(bench.log, "promote", a)
    bench.step()
    assert bench.release == a.version
    yield bench, a, b
    bench.server.close()


def answers_by(bench: Bench, slot: Slot, expected: Callable[[int], float]) -> None:
    response = bench.ask(request_of(3))
    assert response.json()["release"] == response.headers["x-homeroom-release"] == slot.version
    assert probability(response) == pytest.approx(expected(3), abs=1e-6)


@pytest.mark.parametrize(
    ("keys", "told"), [("*/log/00000002.json", "The pointer log cannot be read"), ("*/model.onnx", "cannot be loaded")]
)
@pytest.mark.parametrize("bytes", [0, 60])
def test_bodies_that_s3_cuts_short_leave_what_serves_and_it_recovers(
    remote: tuple[Bench, Slot, Slot], s3: S3Server, keys: str, told: str, bytes: int
) -> None:
    bench, a, b = remote
    state = say(bench.log, "promote", b)
    s3.inject(cut_body(bytes, keys=keys, times=ALWAYS))
    for _ in range(2):
        bench.step(2 * FIRST_RETRY_S)
        answers_by(bench, a, probability_of)
        said = bench.get("/version").json()
        assert said["ready"]
        assert told in said["behind"]
        assert bench.server.slots.entry == 1
    assert s3.count("GetObject") >= 2
    s3.clear()
    bench.step(4 * FIRST_RETRY_S)
    answers_by(bench, b, shifted_probability)
    assert (bench.server.behind, bench.server.slots.entry) == ("", state.number)


@needs_full
def test_a_full_disk_while_a_release_is_fetched_leaves_what_serves_and_it_recovers(
    remote: tuple[Bench, Slot, Slot], slow_settings: ServiceSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, a, b = remote
    say(bench.log, "promote", b)
    cache = slow_settings.serve_cache
    assert cache is not None
    with monkeypatch.context() as patched:
        patched.setattr("components.copies.uuid", SimpleNamespace(uuid4=lambda: uuid.UUID(int=7)))
        for _ in range(2):
            part = cache / "tmp" / uuid.UUID(int=7).hex
            part.mkdir(parents=True)
            (part / "model.onnx").symlink_to(FULL)
            bench.step(2 * FIRST_RETRY_S)
            assert "cannot be loaded" in bench.server.behind
            assert "No space left" in bench.server.behind
            answers_by(bench, a, probability_of)
            assert not part.exists(), "half a release is not left behind"
    bench.step(4 * FIRST_RETRY_S)
    answers_by(bench, b, shifted_probability)
    assert bench.server.behind == ""


@contextmanager
def full_at(path: Path) -> Iterator[None]:
    """Have whoever writes this file meet a full disk."""
    path.symlink_to(FULL)
    try:
        yield
    finally:
        path.unlink()


@needs_full
def test_a_full_disk_while_the_status_and_the_entry_are_written_changes_no_answer(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder, pid = bench.server.status_folder, 4711
    assert folder is not None
    monkeypatch.setattr("os.getpid", lambda: pid)
    reporter = Reporter(bench.server, bench.metrics)
    bench.server.changed = reporter._report_safely
    a, b = release_of(bench.store, plain), release_of(bench.store, shifted)
    say(bench.log, "promote", a)
    bench.step()
    written = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(written) == {LAST_ENTRY, f"{pid}.json"}
    say(bench.log, "promote", b)
    with full_at(folder / f"{pid}.part"), full_at(folder / f"{LAST_ENTRY}.{pid}"):
        bench.step()
        answers_by(bench, b, shifted_probability)
        assert bench.server.behind == ""
        assert "The status could not be written: No space left on device" in caplog.text
        assert "The entry could not be written down: No space left on device" in caplog.text
        assert {name: (folder / name).read_bytes() for name in written} == written, "the old ones are whole"
    say(bench.log, "rollback", a)
    bench.step()
    assert json.loads((folder / f"{pid}.json").read_bytes())["entry"] == 3
    assert State.from_json(json.loads((folder / LAST_ENTRY).read_bytes())["entry"]).number == 3
    assert list(folder.glob("*.part")) == []


class Wall(datetime):
    """A time of day that somebody sets."""

    ahead = timedelta(0)

    @classmethod
    def now(cls, tz: Any = None) -> "Wall":  # Any: as datetime's own
        return cls.fromtimestamp((datetime.now(UTC) + cls.ahead).timestamp(), UTC)


def told_by(folder: Path, monkeypatch: pytest.MonkeyPatch, hours: tuple[int, ...]) -> list[tuple[Any, ...]]:
    """Play a canary that is promoted and then fails, one step a second; return all that was decided, and when.

    Args:
        folder: for the store.
        monkeypatch: sets the time of day.
        hours: by how much the time of day is wrong, in turns, from second to second.
    """
    folder.mkdir()
    settings = ServiceSettings(serve_store=str(folder / "store"), serve_application="knowledge_tracing")
    bench = Bench(Store(folder / "store"), settings, folder / "status")
    clock = time.time
    monkeypatch.setattr("serving.registry.log.datetime", Wall)
    monkeypatch.setattr("serving.supervise.supervisor.datetime", Wall)
    a, b = release_of(bench.store, plain), release_of(bench.store, shifted)
    reporter = Reporter(bench.server, bench.metrics)
    assert bench.server.status_folder is not None
    status = bench.server.status_folder
    limits = Limits(min_requests=4, min_errors=3, min_stage_s=5.0, score_shift=1000.0, latency_floor_s=30.0)
    supervisor = Supervisor(bench.log, lambda: read_statuses(status), limits, by="s", clock=lambda: bench.now)
    students = [f"s{number}" for number in range(400)]
    found: list[tuple[Any, ...]] = []
    say(bench.log, "promote", a)
    for second in range(60):
        Wall.ahead = timedelta(hours=hours[second % len(hours)])
        monkeypatch.setattr(time, "time", lambda: clock() + Wall.ahead.total_seconds())
        bench.step(1.0)
        if second == 3:
            say(bench.log, "canary", a, (b, 1))
        slots = bench.server.slots
        taking = [student for student in students if slots.challenger_for(student) is not None][:2]
        for student in taking:
            assert bench.ask(request_of(1), **{"homeroom-student": student}).status_code == 200
        for live in (slots.champion, slots.challenger):  # of whoever else asks
            for _ in range(3 if live is not None else 0):
                assert live is not None
                is_bad = second > 40 and bench.release == b.version
                live.tally.count(500 if is_bad else 200, 0.01, 0.5)
        reporter.report()
        written = supervisor.step()
        if written is not None:
            share = written.challenger.percent if written.challenger else None
            assert written.champion is not None
            found.append((second, written.action, written.champion == b, share))
    monkeypatch.setattr(time, "time", clock)
    bench.server.close()
    return found


def test_a_clock_that_jumps_by_hours_decides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steady = told_by(tmp_path / "steady", monkeypatch, (0,))
    assert [one[1:] for one in steady] == [
        ("canary", False, 10),
        ("canary", False, 50),
        ("promote", True, None),
        ("rollback", False, None),
    ]
    assert told_by(tmp_path / "jumps", monkeypatch, (0, 7, -7, 30, -2)) == steady
    for one in (Supervisor, Follower):
        assert signature(one).parameters["clock"].default is time.monotonic
