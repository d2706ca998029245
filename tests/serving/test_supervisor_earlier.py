"""A promotion that was made before the supervisor began: it is watched on, by its age, and judged by itself alone."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from components.store import Store
from serving.registry import STAMP, PointerLog, Slot
from tests.serving.releasing import say
from tests.serving.supervising import LIMITS, A, B, Bench, C, tally, worker_at

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Wall(datetime):
    """What the log takes the time of day from."""

    moment = NOW

    @classmethod
    def now(cls, tz: Any = None) -> "Wall":  # Any: as datetime's own
        return cls.fromtimestamp(cls.moment.timestamp(), UTC)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr("serving.registry.log.datetime", Wall)
    monkeypatch.setattr(Wall, "moment", NOW)
    return Bench(tmp_path / "store")


def at(monkeypatch: pytest.MonkeyPatch, age_s: float) -> None:
    monkeypatch.setattr(Wall, "moment", NOW - timedelta(seconds=age_s))


def began_after(bench: Bench, *, errors: int = 10) -> Slot | None:
    """Begin to supervise now, have the champion fail, and return what is gone back to, if anything is."""
    state = bench.log.latest()
    assert state is not None
    assert state.champion is not None
    name = state.champion.version
    bench.supervisor = bench.supervise(now=lambda: NOW)
    bench.all_say(state, {name: tally(100)})
    assert bench.step() is None
    bench.all_say(state, {name: tally(100).plus(tally(100, errors=errors))})
    found = bench.step()
    assert found is None or found.action == "rollback"
    return None if found is None else found.champion


@pytest.mark.parametrize(
    ("age_s", "goes_back"),
    [
        (0.0, True),
        (LIMITS.watch_s - 60, True),
        (LIMITS.watch_s - 10, False),  # young at the start, and 20 seconds later over
        (LIMITS.watch_s + 1, False),
        (-6 * 3600.0, True),  # by a clock that was ahead: it was made just now
    ],
)
def test_it_is_taken_back_while_it_is_young(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, age_s: float, goes_back: bool
) -> None:
    at(monkeypatch, 100 * 86400.0)
    say(bench.log, "promote", A)
    at(monkeypatch, age_s)
    say(bench.log, "promote", B)
    assert began_after(bench) == (A if goes_back else None)


def test_an_older_one_is_not_watched_though_something_began_since(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    at(monkeypatch, 100 * 86400.0)
    say(bench.log, "promote", A)
    say(bench.log, "promote", B)
    at(monkeypatch, 10.0)
    say(bench.log, "shadow", B, shadow=C)
    assert began_after(bench) is None


def test_what_began_after_it_does_not_hide_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    say(bench.log, "promote", A)
    at(monkeypatch, 60.0)
    say(bench.log, "promote", B)
    say(bench.log, "shadow", B, shadow=C)
    say(bench.log, "withdraw", B)
    assert began_after(bench) == A


def test_the_end_of_a_canary_is_a_promotion_too(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, 60.0)
    say(bench.log, "promote", A)
    say(bench.log, "canary", A, (B, 50))
    say(bench.log, "promote", B)
    assert began_after(bench) == A


def test_what_was_taken_back_to_is_not_taken_back(bench: Bench) -> None:
    say(bench.log, "promote", A)
    say(bench.log, "rollback", B)
    assert began_after(bench) is None


def test_the_first_release_of_all_has_nothing_to_go_back_to(bench: Bench) -> None:
    say(bench.log, "promote", A)
    assert began_after(bench) is None


def test_where_the_entry_before_it_is_gone_nothing_is_gone_back_to(bench: Bench) -> None:
    say(bench.log, "promote", A)
    say(bench.log, "promote", B)
    root = Path(bench.log._store.local_root or "")
    (root / "records" / bench.log.path(1)).unlink()
    assert began_after(bench) is None


def test_it_is_judged_by_itself_alone_as_nothing_is_known_of_the_one_before(bench: Bench) -> None:
    """Slow or shifted answers are compared with nothing; failures are too many or they are not."""
    say(bench.log, "promote", A)
    state = say(bench.log, "promote", B)
    bench.supervisor = bench.supervise(now=lambda: NOW)
    bench.all_say(state, {B.version: tally(0)})
    assert bench.step() is None
    bench.all_say(state, {B.version: tally(500, seconds=5.0, mean=3.0)})
    assert bench.step() is None
    bench.all_say(state, {B.version: tally(500, seconds=5.0, mean=3.0).plus(tally(100, errors=11))})
    assert bench.step() is None, "22 of 1200 are 1.8 %, allowed are 2 %"
    bench.all_say(state, {B.version: tally(500, seconds=5.0, mean=3.0).plus(tally(100, errors=13))})
    found = bench.step()
    assert found is not None
    assert (found.action, found.champion) == ("rollback", A)
    assert "2.2% of 1200 requests failed" in found.reason


def test_workers_that_end_again_take_it_back(bench: Bench) -> None:
    """The service died of it and was started again."""
    say(bench.log, "promote", A)
    state = say(bench.log, "promote", B)
    bench.supervisor = bench.supervise(now=lambda: NOW)
    bench.all_say(state, {B.version: tally(1)})
    for pid in (11, 12):
        assert bench.step(1.0) is None
        bench.workers = [worker_at(state, {B.version: tally(1)}, pid)]
    found = bench.step(1.0)
    assert found is not None
    assert (found.action, found.champion) == ("rollback", A)


def test_one_entry_is_read_alone(bench: Bench) -> None:
    state = say(bench.log, "promote", A)
    assert bench.log.entry(1) == state
    assert bench.log.entry(2) is None
    assert bench.log.entry(0) is None
    bench.log._store.place.put_bytes(f"records/{bench.log.path(2)}", b"{")
    assert bench.log.entry(2) is None
    assert datetime.strptime(state.at, STAMP).replace(tzinfo=UTC) == NOW


def test_what_served_before_there_was_a_log_is_gone_back_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(Path(__file__).parents[1] / "golden" / "format1" / "store", tmp_path / "store")
    log = PointerLog(Store(tmp_path / "store"), "knowledge_tracing")
    old = log.latest()
    assert old is not None
    bench = Bench(tmp_path / "other")
    bench.log = log
    say(log, "promote", Slot(version="knowledge_tracing-" + "b" * 12, artifact="b" * 64))
    monkeypatch.setattr(f"{__name__}.NOW", datetime.now(UTC))
    assert began_after(bench) == old.champion
