"""Whose fault it is that a request cannot be read: the release before tries it, off the answer's way."""

import json
import time
from typing import Any

import pytest

from serving.registry import Slot, State
from serving.rereading import MOST_WAITING, Rereader, readable
from serving.slots import Server
from serving.status import WorkerStatus, status_of
from serving.supervise.limits import Limits
from serving.supervise.supervisor import Supervisor
from serving.tally import Tally
from tests.serving.bundles import request_of
from tests.serving.following import Bench, scores
from tests.serving.releasing import plain, release_of, say, shifted

GARBAGE: list[Any] = [{"nothing": 1}, {"scores": []}, [], "text", 3]


@pytest.fixture
def swapped(bench: Bench) -> tuple[Bench, Slot, Slot]:
    """Return a server whose release A was replaced by C, which reads quite other requests."""
    a, c = release_of(bench.store, plain), release_of(bench.store, scores)
    for slot in (a, c):
        say(bench.log, "promote", slot)
        bench.step()
    assert bench.release == c.version
    return bench, a, c


def counted(bench: Bench) -> tuple[int, int]:
    """Return what the champion could not read, and how much of it the one before could."""
    bench.observer.rereader.wait()
    tally = bench.server.live.tally
    return tally.invalid, tally.misread


def test_only_what_the_release_before_could_read_counts_as_misread(swapped: tuple[Bench, Slot, Slot]) -> None:
    bench, _, _ = swapped
    for body in GARBAGE:
        assert bench.ask(body).status_code == 400
    assert counted(bench) == (5, 0)
    for steps in range(3):
        assert bench.ask(request_of(steps)).status_code == 400
    assert counted(bench) == (8, 3)
    assert bench.ask({"scores": [0.5]}).status_code == 200
    assert bench.ask({"scores": [0.5] * 21}).status_code == 400, "its codec takes 20"
    assert counted(bench) == (9, 3)


def test_of_a_list_each_item_counts_by_itself(swapped: tuple[Bench, Slot, Slot]) -> None:
    bench, _, _ = swapped
    mixed = [{"scores": [0.5]}, request_of(1), {"nothing": 1}, request_of(2)]
    found = bench.ask(mixed, "/predict/batch").json()["results"]
    assert [one.get("error", {}).get("status") for one in found] == [None, 400, 400, 400]
    assert counted(bench) == (3, 2)
    bench.ask({"no": "list"}, "/predict/batch")
    bench.ask([], "/predict/batch")
    assert counted(bench) == (5, 2)


def test_what_the_codec_before_refuses_after_reading_is_no_fault_either(bench: Bench) -> None:
    """The types fit, and the rule that is broken is one that both codecs have."""
    other = release_of(bench.store, lambda folder: scores(folder))
    say(bench.log, "promote", other)
    bench.step()
    before = bench.server.live.bundle
    assert before is not None
    assert readable(before, b'{"scores": [0.5]}') == 1
    assert readable(before, b'{"scores": []}') == 0
    listed = b'[{"scores": []}, {"scores": [1.0]}]'
    assert readable(before, listed, is_list=True) == 1
    assert readable(before, listed, is_list=True, places=[0]) == 0
    assert readable(before, listed, is_list=True, places=[0, 1, 7]) == 1
    assert readable(before, b"\xff", is_list=True) == 0


def test_the_release_before_is_the_champions_and_is_forgotten_when_it_is_closed(bench: Bench) -> None:
    a, b, c = (release_of(bench.store, write) for write in (plain, shifted, scores))

    def former() -> str | None:
        found = bench.server.slots.former
        return None if found is None or found.bundle is None else found.bundle.version

    say(bench.log, "promote", a)
    bench.step()
    assert former() is None
    say(bench.log, "promote", b)
    bench.step()
    assert former() == a.version
    say(bench.log, "canary", b, (c, 50))
    bench.step()
    say(bench.log, "withdraw", b)
    bench.step()
    assert former() == a.version, "and not the challenger, which was replaced later"
    say(bench.log, "rollback", a)
    bench.step()
    assert former() == b.version
    bench.step(101.0)
    assert (former(), bench.server.kept) == (None, ())
    assert bench.ask({"nothing": 1}).status_code == 400
    assert counted(bench) == (1, 0)


def test_more_than_a_few_that_wait_are_left_out() -> None:
    class Slow:
        class requests:
            @staticmethod
            def read(body: bytes) -> Any:
                time.sleep(0.01)
                return body

        class codec:
            @staticmethod
            def encode(request: Any) -> list[Any]:
                return [request]

    rereader, tally = Rereader(), Tally()
    for _ in range(200):
        rereader.offer(Slow, tally, b"{}")  # type: ignore[arg-type]  # has what is needed
    rereader.wait(20.0)
    assert MOST_WAITING <= tally.misread <= MOST_WAITING + 4


def supervised(bench: Bench, a: Slot, c: Slot, bodies: list[Any]) -> State | None:
    """Have a supervisor watch the promotion of C while clients send this; return what it wrote."""
    now = [0.0]

    def step(seconds: float) -> State | None:
        now[0] += seconds
        return supervisor.step()

    def said(server: Server) -> list[Any]:
        bench.observer.rereader.wait()
        return [WorkerStatus.from_json(json.loads(json.dumps(status_of(server).to_json())))]  # as it is written down

    limits = Limits(min_requests=10, min_stage_s=1.0)
    supervisor = Supervisor(bench.log, lambda: said(bench.server), limits, by="server test", clock=lambda: now[0])
    say(bench.log, "promote", a)
    bench.step()
    step(1.0)
    say(bench.log, "promote", c)
    bench.step()
    assert step(1.0) is None
    for body in bodies:
        bench.ask(body)
    return step(5.0)


def test_a_client_that_sends_what_nobody_can_read_has_nothing_taken_back(bench: Bench) -> None:
    a, c = release_of(bench.store, plain), release_of(bench.store, scores)
    good = [{"scores": [0.5]}] * 10
    assert supervised(bench, a, c, good + GARBAGE * 10) is None


def test_clients_of_the_release_before_that_are_refused_have_it_taken_back(bench: Bench) -> None:
    a, c = release_of(bench.store, plain), release_of(bench.store, scores)
    good = [{"scores": [0.5]}] * 10
    found = supervised(bench, a, c, good + [request_of(1)] * 2)
    assert found is not None
    assert (found.action, found.champion) == ("rollback", a)
    assert "16.7% of 12 requests could not be read, and the release before could read them" in found.reason
