"""The log: numbers without holes, one winner, a chain that shows changes, and what a store from before it says."""

import hashlib
import json
import multiprocessing
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.artifacts import Release
from components.errors import ConfigError, StoreConflictError, StoreError
from components.places.remote import RemotePlace
from components.store import Store
from components.testing import S3Server
from serving.errors import ReleaseNotFoundError
from serving.registry import PointerLog, ReleaseRegistry, Slot, State, faults_of
from tests.serving.registry.published import ONE, THREE, TWO, entry_file, promoting, release


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


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
