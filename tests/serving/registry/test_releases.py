"""Promotion: the registry's records."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pytest

from components._testing.kills import die_at_write
from components.artifacts import Lineage, Release
from components.errors import ArtifactMissingError, DigestMismatchError
from components.gate.override import Override
from components.store import Store
from serving.errors import ReleaseNotFoundError
from serving.registry import Pointer, ReleaseRegistry
from tests.serving.registry.published import PENDING, release


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_nothing_serves_at_first(store: Store) -> None:
    registry = ReleaseRegistry(store)
    assert registry.current("tracing") is None
    assert registry.history("tracing") == []
    with pytest.raises(ReleaseNotFoundError, match="no release before the current one"):
        registry.rollback("tracing", "try")


def test_promoting_points_to_the_release_and_keeps_the_history(store: Store) -> None:
    registry = ReleaseRegistry(store)
    one, two = release(store, "aa1"), release(store, "bb2")
    registry.promote(one, "first")
    pointer = registry.promote(two, "better")
    assert registry.current("tracing") == pointer
    assert (pointer.version, pointer.artifact, pointer.reason) == (two.version, two.sha256, "better")
    assert [(p.version, p.action, p.reason) for p in registry.history("tracing")] == [
        (one.version, "promote", "first"),
        (two.version, "promote", "better"),
    ]
    since = datetime.strptime(pointer.since, "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC)
    assert abs((datetime.now(UTC) - since).total_seconds()) < 60
    assert ReleaseRegistry(store).current("other") is None


def test_rolling_back_twice_goes_two_releases_back(store: Store) -> None:
    registry = ReleaseRegistry(store)
    one, two, three = (release(store, d) for d in ("aa1", "bb2", "cc3"))
    for each in (one, two, three):
        registry.promote(each, "new")
    assert registry.rollback("tracing", "bad answers").version == two.version
    assert registry.rollback("tracing", "still bad").version == one.version
    with pytest.raises(ReleaseNotFoundError):
        registry.rollback("tracing", "once more")
    current = registry.current("tracing")
    assert current is not None
    assert (current.version, current.action, current.reason) == (one.version, "rollback", "still bad")
    registry.promote(three, "mended")
    assert registry.rollback("tracing", "no").version == one.version
    assert registry.rollback("tracing", "by name", to="bb").version == two.version
    assert len(registry.history("tracing")) == 8


def test_promoting_the_same_release_again_is_no_step_to_roll_back_over(store: Store) -> None:
    registry = ReleaseRegistry(store)
    one, two = release(store, "aa1"), release(store, "bb2")
    for each in (one, two, two):
        registry.promote(each, "new")
    assert registry.rollback("tracing", "bad").version == one.version


def test_a_release_is_found_by_version_or_unique_prefix(store: Store) -> None:
    registry = ReleaseRegistry(store)
    one, two = release(store, "aa1"), release(store, "ab2")
    other = release(store, "aa9", "essays")
    for each in (one, two, other, one):
        registry.register(each)
    assert registry.find(one.version) == one
    assert registry.find("ab") == two
    assert registry.find("tracing-aa") == one
    assert registry.find("aa", "tracing") == one
    assert registry.find("essays") == other
    for bad in ("aa", "a", "zz", "", "tracing"):
        with pytest.raises(ReleaseNotFoundError, match="No single release"):
            registry.find(bad)
    with pytest.raises(ReleaseNotFoundError, match=f"{one.version}, {two.version}"):
        registry.find("a", "tracing")


def test_a_version_that_is_not_its_applications_is_refused(store: Store) -> None:
    draft = Release(
        ref=PENDING, lineage=Lineage(), application="essays", version="tracing-0123456789ab", verdict="pass"
    )
    with pytest.raises(ReleaseNotFoundError, match="no version of essays"):
        ReleaseRegistry(store).register(draft)


def test_a_release_that_a_run_made_is_found_without_registering(store: Store) -> None:
    made = release(store, "aa1")
    store.write_record("stages/tracing/deploy/0123.json", {"artifact": made.to_json(), "parts": {}})
    store.write_record("stages/tracing/train/4567.json", {"artifact": {"kind": "Checkpoint"}})
    store.write_record("stages/tracing/deploy/89.json", {"artifact": "damaged"})
    assert ReleaseRegistry(store).find("aa1") == made


def test_a_damaged_release_is_neither_promoted_nor_rolled_back_to(store: Store) -> None:
    registry = ReleaseRegistry(store)
    one, two = release(store, "aa1"), release(store, "bb2")
    registry.promote(one, "first")
    registry.promote(two, "second")
    root = store.local_root
    assert root is not None
    (root / "artifacts" / one.sha256 / "bundle.json").write_text("changed")
    with pytest.raises(DigestMismatchError):
        registry.rollback("tracing", "back")
    with pytest.raises(DigestMismatchError):
        registry.promote(one, "again")
    (root / "artifacts" / two.sha256 / "bundle.json").unlink()
    with pytest.raises(ArtifactMissingError):
        registry.promote(two, "again")
    current = registry.current("tracing")
    assert current is not None
    assert current.version == two.version
    assert len(registry.history("tracing")) == 2


@pytest.mark.parametrize("name", ["../x", "A", "a/b", ""])
def test_a_name_that_is_no_application_is_refused(store: Store, name: str) -> None:
    with pytest.raises(ReleaseNotFoundError, match="no application's name"):
        ReleaseRegistry(store).current(name)


@pytest.mark.multiprocess
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("action", ["promote", "rollback"])
def test_a_change_killed_at_any_write_leaves_the_old_or_the_new_and_can_be_done_again(
    action: str, when: Literal["before", "after"], tmp_path: Path
) -> None:
    number = 0
    while True:
        store = Store(tmp_path / f"{number}")
        registry = ReleaseRegistry(store)
        one, two, three = (release(store, d) for d in ("aa1", "bb2", "cc3"))
        registry.promote(one, "first")
        registry.promote(two, "second")
        new = three if action == "promote" else one

        def change(registry: ReleaseRegistry = registry, three: Release = three) -> None:
            if action == "promote":
                registry.promote(three, "third")
            else:
                registry.rollback("tracing", "bad")

        killed = die_at_write(change, number, when)
        live, history = registry.current("tracing"), registry.history("tracing")
        assert live is not None
        assert live.version in (two.version, new.version)
        assert history[-1] == live, "the history ends with what serves"
        if live.version == two.version:
            change()  # as the operator or the next run would
        live, history = registry.current("tracing"), registry.history("tracing")
        assert live is not None
        assert live.version == new.version
        assert [e.version for e in history] == [one.version, two.version, new.version]
        if not killed:
            break
        number += 1
    assert number == (2 if action == "promote" else 1)  # known, entry


def test_an_override_travels_with_the_release_and_older_entries_have_none(store: Store) -> None:
    registry, one = ReleaseRegistry(store), release(store, "aa1")
    given = Override(by="A. Mensah", reason="this term", until="2027-01-31", given="20261122T100000Z")
    pointer = registry.promote(one, "let through", override=given)
    assert pointer.override == given
    assert registry.current("tracing") == pointer
    assert registry.history("tracing")[-1].override == given
    value = pointer.to_json()
    del value["override"]
    assert Pointer.from_json(value).override is None
