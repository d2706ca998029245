"""Who is told of what the supervisor wrote: once for each entry, whatever the telling does."""

import threading
from pathlib import Path

import pytest

from serving.registry import State
from tests.serving.releasing import say
from tests.serving.supervising import A, B, Bench, tally

Told = list[tuple[int, int, str]]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "store")


def take_back(bench: Bench) -> None:
    state = bench.promoted(A, B, tally(500))
    bench.all_say(state, {A.version: tally(500), B.version: tally(60, errors=30)})
    assert bench.step() is not None


def test_every_entry_that_it_wrote_is_told_once_and_no_other(bench: Bench) -> None:
    told: Told = []
    bench.supervisor = bench.supervise(
        told=lambda before, written: told.append((before.number, written.number, written.action))
    )
    take_back(bench)  # entries 1 and 2 are of others, 3 is the rollback
    state = say(bench.log, "canary", A, (B, 50))
    bench.all_say(state, {A.version: tally(500), B.version: tally(60, errors=30)})
    bench.step()
    bench.all_say(state, {A.version: tally(500), B.version: tally(120, errors=90)})
    assert bench.step() is not None
    bench.step()
    bench.supervisor.close()
    assert told == [(2, 3, "rollback"), (4, 5, "withdraw")]


def test_one_that_fails_or_hangs_stops_nothing(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    release, seen = threading.Event(), []

    def tell(before: State, written: State) -> None:
        seen.append(written.number)
        if len(seen) == 1:
            release.wait(20)
            raise ConnectionError("https://hooks.example/secret")

    bench.supervisor = bench.supervise(told=tell)
    take_back(bench)
    state = say(bench.log, "canary", A, (B, 50))
    bench.all_say(state, {A.version: tally(500), B.version: tally(60, errors=30)})
    bench.step()
    bench.all_say(state, {A.version: tally(500), B.version: tally(120, errors=90)})
    assert bench.step() is not None, "while the first is being told"
    assert seen in ([], [3])
    release.set()
    bench.supervisor.close()
    assert seen == [3, 5]
    assert "ConnectionError in homeroom-telling" in caplog.text
    assert "secret" not in caplog.text
