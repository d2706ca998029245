"""A store from before the log: read as it was, and its history goes into the first entry in one write."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from components._testing.kills import die_at_write
from components.artifacts import JsonValue
from components.store import Store
from serving.registry import PointerLog, ReleaseRegistry, faults_of
from tests.serving.registry.published import release


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
