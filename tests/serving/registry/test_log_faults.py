"""Faults of the log: damage, holes, clocks, buckets that fail, and promoters that are killed."""

import hashlib
import multiprocessing
import os
import random
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from components.errors import StoreConflictError, StoreError
from components.store import Store
from components.testing import ALWAYS, S3Server, lose_answer, slow_down, stale_listing
from serving.registry import PointerLog, ReleaseRegistry, faults_of
from tests.serving.registry.published import ONE, THREE, TWO, entry_file, promoting, release


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


class TestDamage:
    @pytest.fixture
    def log(self, store: Store) -> PointerLog:
        log = PointerLog(store, "tracing")
        for number, slot in enumerate((ONE, TWO, THREE)):
            log.append(promoting(slot), expected=number)
        return log

    @pytest.mark.parametrize(
        "body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"format":1}', b'{"format":99,"number":3}']
    )
    def test_a_damaged_last_entry_says_nothing_of_what_serves(self, log: PointerLog, store: Store, body: bytes) -> None:
        entry_file(store, 3).write_bytes(body)
        for ask in (log.latest, lambda: log.after(2), lambda: ReleaseRegistry(store).current("tracing")):
            with pytest.raises(StoreError, match=r"00000003.json .* is damaged .*say it anew"):
                ask()
        assert [(fault.number, fault.kind) for fault in faults_of(log)] == [(3, "unreadable")]

    def test_the_next_promotion_by_hand_says_it_anew(self, log: PointerLog, store: Store) -> None:
        entry_file(store, 3).write_bytes(b"{")
        good = release(store, "dd4")
        ReleaseRegistry(store).promote(good, "said anew", by="maria")
        latest = log.latest()
        assert latest is not None
        assert (latest.number, latest.by) == (4, "maria")
        assert latest.champion is not None
        assert latest.champion.version == good.version
        assert latest.previous == hashlib.sha256(b"{").hexdigest()
        assert log.after(2) == latest  # a server that saw entry 2 steps over the damaged one
        assert [(fault.number, fault.kind) for fault in faults_of(log)] == [(3, "unreadable")]  # told, and no more

    def test_a_missing_entry_is_found_and_what_serves_is_still_known(self, log: PointerLog, store: Store) -> None:
        entry_file(store, 2).unlink()
        assert [(fault.number, fault.kind) for fault in faults_of(log)] == [(2, "missing")]
        latest = log.latest()
        assert latest is not None
        assert latest.champion == THREE

    def test_an_entry_that_was_changed_is_found_by_the_next(self, log: PointerLog, store: Store) -> None:
        path = entry_file(store, 2)
        path.write_bytes(path.read_bytes().replace(b"maria", b"jonas"))
        assert [(fault.number, fault.kind) for fault in faults_of(log)] == [(3, "changed")]

    def test_an_entry_under_another_number_is_no_entry(self, log: PointerLog, store: Store) -> None:
        entry_file(store, 4).write_bytes(entry_file(store, 3).read_bytes())
        with pytest.raises(StoreError, match="calls itself entry 3"):
            log.latest()

    def test_nothing_follows_an_entry_that_is_gone(self, log: PointerLog) -> None:
        with pytest.raises(StoreError, match=r"Entry 9 .* is missing"):
            log.append(promoting(ONE), expected=9)


def test_entries_are_ordered_by_number_whatever_the_clocks_say(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    log, registry = PointerLog(store, "tracing"), ReleaseRegistry(store)

    class Clock(datetime):
        day = 1

        @classmethod
        def now(cls, tz: Any = None) -> "Clock":  # Any: as datetime's own
            return cls(2026, 5, cls.day, tzinfo=UTC)

    monkeypatch.setattr("serving.registry.log.datetime", Clock)
    for number, (slot, day) in enumerate(((ONE, 3), (TWO, 20), (THREE, 10))):
        Clock.day = day
        log.append(promoting(slot), expected=number)
    latest = log.latest()
    assert latest is not None
    assert latest.champion == THREE
    assert [one.version for one in registry.history("tracing")] == [ONE.version, TWO.version, THREE.version]
    assert [(fault.number, fault.kind, fault.is_harmless) for fault in faults_of(log)] == [(3, "clock", True)]
    assert registry.champion_at("tracing", datetime(2026, 5, 2, tzinfo=UTC)) is None
    served = [registry.champion_at("tracing", datetime(2026, 5, day, tzinfo=UTC)) for day in (3, 9, 10, 30)]
    assert [one.version if one else None for one in served] == [ONE.version, ONE.version, THREE.version, THREE.version]


def on_s3(s3: S3Server, bucket: str, tmp_path: Path) -> PointerLog:
    s3.make_bucket(bucket)
    store = Store(f"s3://{bucket}/store", cache=tmp_path / "cache", storage_options=s3.storage_options())
    return PointerLog(store, "tracing")


def test_an_old_listing_hides_no_entry(s3: S3Server, tmp_path: Path) -> None:
    log = on_s3(s3, "listing", tmp_path)
    first = log.append(promoting(ONE), expected=0)
    s3.inject(stale_listing())
    assert log.latest() == first
    second = log.append(promoting(TWO), expected=1)
    assert log.latest() == second
    assert list(log.entries()) == [first, second]


def test_a_lost_answer_is_no_lost_promotion(s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOMEROOM_S3_READ_S", "2")
    log = on_s3(s3, "answers", tmp_path)
    log.append(promoting(ONE), expected=0)
    s3.inject(lose_answer(operations=("PutObject",)))
    second = log.append(promoting(TWO), expected=1)
    assert (log.latest(), log.numbers()) == (second, [1, 2])


def test_a_bucket_that_does_not_answer_is_not_one_in_which_nothing_serves(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOMEROOM_S3_ATTEMPTS", "1")
    log = on_s3(s3, "silent", tmp_path)
    log.append(promoting(ONE), expected=0)
    s3.inject(slow_down(times=ALWAYS))
    for ask in (log.latest, lambda: log.after(0), lambda: log.append(promoting(TWO), expected=1)):
        with pytest.raises(StoreError) as error:
            ask()
        assert not isinstance(error.value, StoreConflictError)
    s3.clear()
    assert log.numbers() == [1]


def kill_while_promoting(folder: Path, after_s: float) -> int:
    """Promote again and again in a process of its own, kill it, and return how many promotions it was told of."""
    fork = multiprocessing.get_context("fork")
    done = fork.Value("i", 0)

    def work() -> None:
        store = Store(folder)
        registry, releases = ReleaseRegistry(store), [ReleaseRegistry(store).find(digits) for digits in ("aa", "bb")]
        while True:
            registry.promote(releases[done.value % 2], "again")
            done.value += 1

    process = fork.Process(target=work)
    process.start()
    time.sleep(after_s)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    return int(done.value)


def check_kills(tmp_path: Path, count: int) -> None:
    chance = random.Random(count)
    store = Store(tmp_path / "store")
    registry, made = ReleaseRegistry(store), [release(store, digits) for digits in ("aa1", "bb2")]
    for each in made:
        registry.register(each)
    log, told = PointerLog(store, "tracing"), 0
    for _ in range(count):
        told += kill_while_promoting(tmp_path / "store", chance.uniform(0.02, 0.2))
        latest, numbers = log.latest(), log.numbers()
        assert numbers == list(range(1, len(numbers) + 1))
        told = max(told, len(numbers) - 1)  # killed between the write and its count
        assert len(numbers) - 1 <= told <= len(numbers)
        assert faults_of(log) == []
        if latest is not None:
            assert latest.champion is not None
            current = registry.current("tracing")
            assert current is not None
            assert current.version == latest.champion.version
    assert len(log.numbers()) > count
    registry.promote(made[0], "after all")
    assert faults_of(log) == []


@pytest.mark.multiprocess
def test_a_promoter_killed_at_any_moment_leaves_a_log_that_can_be_read(tmp_path: Path) -> None:
    check_kills(tmp_path, 5)


@pytest.mark.soak
@pytest.mark.multiprocess
def test_a_promoter_killed_at_fifty_moments_leaves_a_log_that_can_be_read(tmp_path: Path) -> None:
    check_kills(tmp_path, 50)
