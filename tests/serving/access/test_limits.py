"""Rates by a turned clock, worked out by hand; and one bucket for the workers of a server together."""

import multiprocessing
import random
import time
from pathlib import Path

import pytest

from serving.access.clients import EVERYBODY, Client
from serving.access.limits import PROBES, SLOTS, Limiter


class Clock:
    """A clock that is turned."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def client(rate: float = 2.0, burst: int = 4, name: str = "school") -> Client:
    return Client(id=name, roles=frozenset(), rate=rate, burst=burst)


def test_a_burst_then_the_rate_and_the_wait_is_told() -> None:
    clock = Clock()
    limiter = Limiter(clock=clock)
    assert [limiter.wait_s(client()) for _ in range(4)] == [0.0] * 4
    assert limiter.wait_s(client()) == pytest.approx(0.5)  # a token every half second
    clock.now += 0.3
    assert limiter.wait_s(client()) == pytest.approx(0.2)
    clock.now += 0.2
    assert limiter.wait_s(client()) == 0.0
    assert limiter.wait_s(client()) > 0
    clock.now += 1.0  # two tokens
    assert [limiter.wait_s(client()) > 0 for _ in range(3)] == [False, False, True]
    clock.now += 3600  # no more than the bucket holds
    assert [limiter.wait_s(client()) > 0 for _ in range(5)] == [False] * 4 + [True]


def test_it_lets_through_what_a_bucket_that_is_counted_drop_by_drop_would() -> None:
    chance = random.Random(5)
    for rate, burst in ((1.0, 1), (7.5, 3), (100.0, 20)):
        clock, tokens = Clock(), float(burst)
        limiter = Limiter(clock=clock)
        for _ in range(2_000):
            pause = chance.random() * 2 / rate
            clock.now += pause
            tokens = min(float(burst), tokens + pause * rate)
            passed = tokens >= 1.0 - 1e-6
            assert (limiter.wait_s(client(rate, burst)) == 0.0) is passed
            tokens -= passed


def test_one_client_takes_nothing_from_another_and_everybody_has_no_limit() -> None:
    limiter = Limiter(clock=Clock())
    while not limiter.wait_s(client()):
        pass
    assert limiter.wait_s(client(name="other")) == 0.0
    assert not any(limiter.wait_s(EVERYBODY) for _ in range(1_000))


def test_a_full_table_forgets_who_has_rested_longest() -> None:
    clock = Clock()
    limiter = Limiter(clock=clock)
    for number in range(SLOTS * 3):  # more clients than there is room for, as an issuer of tokens may have
        clock.now += 1e-6
        assert limiter.wait_s(client(1.0, 1, f"client-{number}")) == 0.0
    refused = sum(
        limiter.wait_s(client(1.0, 1, f"client-{number}")) > 0 for number in range(SLOTS * 3 - PROBES, SLOTS * 3)
    )
    assert refused == PROBES, "the last ones are remembered"


def take(path: str, count: int, found: "multiprocessing.Queue[int]") -> None:
    limiter, passed = Limiter(Path(path), Clock()), 0
    for _ in range(count):
        passed += limiter.wait_s(client(1.0, 1_000)) == 0.0
        time.sleep(1e-4)  # a request takes longer still
    found.put(passed)


@pytest.mark.multiprocess
def test_workers_share_one_bucket(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    found: multiprocessing.Queue[int] = context.Queue()
    workers = [context.Process(target=take, args=(str(tmp_path / "limits"), 1_000, found)) for _ in range(2)]
    for worker in workers:
        worker.start()
    passed = sum(found.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join(60)
    assert passed == 1_000, "two buckets would have let 2,000 through"
