"""The log: numbers without holes, one winner, a chain that shows changes, and what a store from before it says."""

import hashlib
import json
import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from components._testing.kills import die_at_write
from components.artifacts import JsonValue, Release
from components.errors import ConfigError, StoreConflictError, StoreError
from components.places.remote import RemotePlace
from components.store import Store
from components.testing import S3Server
from serving.errors import ReleaseNotFoundError
from serving.registry import Change, PointerLog, ReleaseRegistry, Slot, State, faults_of
from tests.serving.registry.published import release

ONE, TWO, THREE = (Slot(version=f"tracing-{d * 12}", artifact=d * 64) for d in "abc")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def promoting(slot: Slot, by: str = "maria") -> Change:
    return Change(action="promote", by=by, reason="better", champion=slot)


def entry_file(store: Store, number: int) -> Path:
    assert store.local_root is not None
    return store.local_root / "records" / "releases" / "tracing" / "log" / f"{number:08d}.json"


def test_an_entry_holds_the_whole_state_and_the_digest_of_the_one_before(store: Store) -> None:
    log = PointerLog(store, "tracing")
    assert log.latest() is None
    assert log.after(0) is None
    first = log.append(promoting(ONE), expected=0)
    second = log.append(promoting(TWO, "run 7"), expected=1)
    assert log.latest() == second
    assert list(log.entries()) == [first, second]
    assert log.after(0) == log.after(1) == second
    assert log.after(2) is None
    written = json.loads(entry_file(store, 2).read_bytes())
    assert written == {
        "format": 1,
        "number": 2,
        "at": second.at,
        "by": "run 7",
        "action": "promote",
        "reason": "better",
        "decision": None,
        "override": None,
        "champion": {"version": "tracing-bbbbbbbbbbbb", "artifact": "b" * 64},
        "challenger": None,
        "shadow": None,
        "previous": hashlib.sha256(entry_file(store, 1).read_bytes()).hexdigest(),
    }
    # the chain is over canonical JSON: sorted keys, no spaces
    first_text = json.dumps(json.loads(entry_file(store, 1).read_bytes()), sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(first_text.encode()).hexdigest() == second.previous
    assert faults_of(log) == []


def test_the_second_of_two_writers_is_told_who_won_and_with_what(store: Store) -> None:
    log = PointerLog(store, "tracing")
    log.append(promoting(ONE), expected=0)
    log.append(promoting(TWO, "maria"), expected=1)
    before = entry_file(store, 2).read_bytes()
    with pytest.raises(
        StoreConflictError, match=r"first: entry 2: maria, promote tracing-bbbbbbbbbbbb at .*\(better\).*decide again"
    ):
        log.append(promoting(THREE, "jonas"), expected=1)
    assert entry_file(store, 2).read_bytes() == before
    assert log.numbers() == [1, 2]


def race(open_store: Callable[[], Store], many: int) -> list[object]:
    """Let threads, each with a store of its own, promote at once; return what came of each."""
    start, outcomes = threading.Barrier(many), list[object]()

    def promote(number: int) -> None:
        log = PointerLog(open_store(), "tracing")
        start.wait()
        try:
            outcomes.append(log.append(promoting(ONE, f"person {number}"), expected=0))
        except StoreConflictError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=promote, args=(number,)) for number in range(many)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def check_one_won(outcomes: list[object], log: PointerLog) -> None:
    (winner,) = (one for one in outcomes if isinstance(one, State))
    losers = [str(one) for one in outcomes if isinstance(one, StoreConflictError)]
    assert len(losers) == len(outcomes) - 1
    assert all(f"entry 1: {winner.by}, promote" in loser for loser in losers)
    assert list(log.entries()) == [winner]


def test_of_many_promoters_in_a_folder_exactly_one_wins(store: Store, tmp_path: Path) -> None:
    check_one_won(race(lambda: Store(tmp_path / "store"), 8), PointerLog(store, "tracing"))


def test_of_many_promoters_on_s3_exactly_one_wins(s3: S3Server, tmp_path: Path) -> None:
    s3.make_bucket("promoters")

    def open_store() -> Store:
        return Store("s3://promoters/store", cache=tmp_path / "cache", storage_options=s3.storage_options())

    log = PointerLog(open_store(), "tracing")
    check_one_won(race(open_store, 4), log)
    second = log.append(promoting(TWO), expected=1)
    assert log.latest() == second
    assert log.after(1) == second


@pytest.mark.multiprocess
def test_of_two_processes_that_promote_at_once_one_wins_each_round(store: Store, tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    rounds = 20

    def work(name: str, start: Any, results: Any) -> None:  # Any: multiprocessing's own
        log = PointerLog(Store(tmp_path / "store"), "tracing")
        for number in range(rounds):
            start.wait()
            try:
                log.append(promoting(ONE, name), expected=number)
                results.put((number, name, True))
            except StoreConflictError:
                results.put((number, name, False))
            start.wait()

    start, results = fork.Barrier(2), fork.Queue()
    workers = [fork.Process(target=work, args=(name, start, results)) for name in ("maria", "jonas")]
    for worker in workers:
        worker.start()
    told = [results.get(timeout=60) for _ in range(2 * rounds)]
    for worker in workers:
        worker.join()
    entries = list(PointerLog(store, "tracing").entries())
    assert [entry.number for entry in entries] == list(range(1, rounds + 1))
    for number, entry in enumerate(entries):
        assert [name for at, name, won in told if at == number and won] == [entry.by]
    assert faults_of(PointerLog(store, "tracing")) == []


class TestStoresThatIgnoreConditions:
    @pytest.fixture
    def careless(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make a remote place overwrite where it was asked to create, as some S3 look-alikes do."""
        put = RemotePlace.put_bytes

        def overwrite(place: RemotePlace, path: str, body: bytes, *, create: bool = False) -> None:
            put(place, path, body)

        monkeypatch.setattr(RemotePlace, "put_bytes", overwrite)

    def test_they_are_found_out_and_refused(self, careless: None, tmp_path: Path) -> None:
        store = Store("memory://careless", cache=tmp_path)
        with pytest.raises(StoreError, match=r"ignores conditional writes.*HOMEROOM_ONE_WRITER=1"):
            PointerLog(store, "tracing").append(promoting(ONE), expected=0)
        assert PointerLog(store, "tracing").latest() is None
        assert store.place.list("records/probe") == []

    def test_with_one_writer_they_may_be_used_and_a_late_change_is_refused_still(
        self, careless: None, tmp_path: Path
    ) -> None:
        log = PointerLog(Store("memory://alone", cache=tmp_path, one_writer=True), "tracing")
        log.append(promoting(ONE), expected=0)
        with pytest.raises(StoreConflictError, match="entry 1: maria"):
            log.append(promoting(TWO), expected=0)

    def test_a_store_that_honours_them_is_asked_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        store, asked = Store("memory://careful", cache=tmp_path), list[int]()
        probe = Store.probe

        def counting(self: Store) -> bool:
            asked.append(1)
            return probe(self)

        monkeypatch.setattr(Store, "probe", counting)
        log = PointerLog(store, "tracing")
        log.append(promoting(ONE), expected=0)
        log.append(promoting(TWO), expected=1)
        assert len(asked) == 1


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


class TestSlots:
    @pytest.fixture
    def made(self, store: Store) -> tuple[Release, Release, Release]:
        one, two, three = (release(store, digits) for digits in ("aa1", "bb2", "cc3"))
        ReleaseRegistry(store).promote(one, "first")
        return one, two, three

    def test_a_canary_keeps_the_champion_and_goes_when_another_is_promoted(
        self, store: Store, made: tuple[Release, Release, Release]
    ) -> None:
        one, two, three = made
        registry = ReleaseRegistry(store)
        registry.shadow(three, "to look at")
        state = registry.canary(two, 1, "begins", by="maria")
        assert (state.action, state.challenger and state.challenger.percent) == ("challenge", 1)
        state = registry.canary(two, 10, "so far so good", by="server a")
        assert (state.number, state.action, state.challenger and state.challenger.percent) == (4, "canary", 10)
        current = registry.current("tracing")
        assert current is not None
        assert (current.version, current.number, current.reason) == (one.version, 1, "first")
        assert [p.version for p in registry.history("tracing")] == [one.version]
        registry.promote(two, "all of them")
        latest = registry.log("tracing").latest()
        assert latest is not None
        assert latest.challenger is None
        assert latest.shadow == Slot(version=three.version, artifact=three.sha256)
        assert registry.rollback("tracing", "bad").version == one.version

    def test_withdrawing_ends_the_canary_alone(self, store: Store, made: tuple[Release, Release, Release]) -> None:
        _, two, three = made
        registry = ReleaseRegistry(store)
        registry.canary(two, 10, "begins")
        registry.shadow(three, "to look at")
        state = registry.withdraw("tracing", "too many errors", by="server a")
        assert (state.challenger, state.shadow is not None, state.action) == (None, True, "withdraw")
        assert registry.withdraw("tracing", "seen enough", "shadow").shadow is None
        with pytest.raises(ReleaseNotFoundError, match="no challenger to withdraw"):
            registry.withdraw("tracing", "again")

    @pytest.mark.parametrize("percent", [0, 100, -1, True, 1.5])
    def test_a_share_that_is_none_is_refused(
        self, store: Store, made: tuple[Release, Release, Release], percent: int
    ) -> None:
        with pytest.raises(ConfigError, match="whole number from 1 to 99"):
            ReleaseRegistry(store).canary(made[1], percent, "begins")

    def test_a_canary_needs_a_champion_that_is_another_release(
        self, store: Store, made: tuple[Release, Release, Release]
    ) -> None:
        with pytest.raises(ConfigError, match="serves all students already"):
            ReleaseRegistry(store).canary(made[0], 10, "begins")
        with pytest.raises(ReleaseNotFoundError, match="Nothing serves for essays"):
            ReleaseRegistry(store).canary(release(store, "aa1", "essays"), 10, "begins")


def test_who_changes_a_state_that_somebody_changed_meanwhile_is_refused(store: Store) -> None:
    registry = ReleaseRegistry(store)
    one, two = release(store, "aa1"), release(store, "bb2")
    registry.promote(one, "first")
    registry.promote(two, "second", by="maria", expected=1)
    for change in (
        lambda: registry.promote(one, "mine", expected=1),
        lambda: registry.rollback("tracing", "mine", expected=1),
        lambda: registry.canary(one, 10, "mine", expected=1),
        lambda: registry.shadow(one, "mine", expected=1),
    ):
        with pytest.raises(StoreConflictError, match="entry 2: maria, promote"):
            change()


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


@pytest.fixture
def old_store(tmp_path: Path) -> Store:
    """Return a store as it was before the log."""
    store = Store(tmp_path / "old")
    one, two = release(store, "aa1"), release(store, "bb2")
    for each in (one, two):
        store.write_record(
            f"releases/tracing/known/{each.version}.json", {"version": each.version, "artifact": each.sha256}
        )
    follows = ""
    for since, each, action in (
        ("20260301T100000.000000Z", one, "promote"),
        ("20260401T100000.000000Z", two, "promote"),
        ("20260501T100000.000000Z", one, "rollback"),
    ):
        entry: JsonValue = {
            "version": each.version, "artifact": each.sha256, "since": since, "reason": action, "action": action,
            "follows": follows, "override": None,
        }  # fmt: skip
        store.write_record(f"releases/tracing/history/{since}-{each.version}.json", entry)
        store.write_record("releases/tracing/current.json", entry)
        follows = since
    return store


class TestAStoreFromBeforeTheLog:
    def test_it_is_read_as_it_was(self, old_store: Store) -> None:
        registry, log = ReleaseRegistry(old_store), PointerLog(old_store, "tracing")
        current = registry.current("tracing")
        assert current is not None
        assert (current.version, current.since, current.action, current.follows) == (
            "tracing-aa1000000000", "20260501T100000.000000Z", "rollback", "20260401T100000.000000Z"
        )  # fmt: skip
        assert [p.version[-12:-9] for p in registry.history("tracing")] == ["aa1", "bb2", "aa1"]
        latest = log.latest()
        assert latest is not None
        assert (latest.number, latest.champion and latest.champion.version) == (0, "tracing-aa1000000000")
        assert log.after(0) is None
        assert old_store.list_records("releases/tracing/log") == []

    @pytest.mark.parametrize("first_write", ["promote", "rollback", "shadow"])
    def test_the_first_write_takes_the_history_along_in_one_step(self, old_store: Store, first_write: str) -> None:
        registry, log = ReleaseRegistry(old_store), PointerLog(old_store, "tracing")
        two = registry.find("bb2")
        if first_write == "promote":
            registry.promote(two, "again")
        elif first_write == "rollback":
            registry.rollback("tracing", "by name", to="bb2")
        else:
            registry.shadow(two, "to look at")
        assert log.numbers() == [1]
        found = [(p.version[-12:-9], p.since[:8]) for p in registry.history("tracing")]
        assert found[:3] == [("aa1", "20260301"), ("bb2", "20260401"), ("aa1", "20260501")]
        current = registry.current("tracing")
        assert current is not None
        assert current.version[-12:-9] == ("aa1" if first_write == "shadow" else "bb2")
        served = registry.champion_at("tracing", datetime(2026, 4, 15, tzinfo=UTC))
        assert served is not None
        assert served.version == two.version
        assert faults_of(log) == []

    @pytest.mark.multiprocess
    def test_a_kill_at_any_write_of_the_first_change_leaves_the_old_or_the_new(self, old_store: Store) -> None:
        registry, log = ReleaseRegistry(old_store), PointerLog(old_store, "tracing")
        new = release(old_store, "cc3")
        number = 0
        while die_at_write(lambda: registry.promote(new, "new"), number):
            history = [p.version[-12:-9] for p in registry.history("tracing")]
            assert history == ["aa1", "bb2", "aa1"] or (
                history == ["aa1", "bb2", "aa1", "cc3"] and log.numbers() == [1]
            )
            number += 1
        assert number == 2
        assert [p.version[-12:-9] for p in registry.history("tracing")] == ["aa1", "bb2", "aa1", "cc3"]
