"""Approvals: signed by a known person, over one decision, in time, by different people; all else counts for no."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from components.errors import ConfigError, StoreConflictError
from components.gate.approval import Approval, ApprovalRecords, Approvers, approved_by, is_enough, sign_approval
from components.gate.decision import Decision, Finding
from components.gate.records import DecisionRecords
from components.signing import SigningKey
from components.store import Store

OURS, THEIRS = SigningKey(b"the installation's key, 32 bytes"), SigningKey(b"another installation's, 32 bytes")
ANNA, BEN = SigningKey(b"a" * 32), SigningKey(b"b" * 32)
PASS = Finding(check="level", subject="all", measure="auc", outcome="pass", reason="auc is 0.7500")
WAITING = Decision(
    application="tracing",
    version="tracing-0123456789ab",
    promote=False,
    reason="it waits",
    findings=(PASS,),
    needs=2,
    until="2026-12-06",
    by="run 1",
)
TODAY = date(2026, 12, 1)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def people(store: Store) -> Approvers:
    people = Approvers(store, OURS.public)
    people.add("anna", ANNA.public, "root", OURS)
    people.add("ben", BEN.public, "root", OURS)
    return people


@pytest.fixture
def decision(store: Store) -> Decision:
    return DecisionRecords(store).add(WAITING)


def test_the_digest_that_is_signed_is_that_of_the_stored_document(store: Store, decision: Decision) -> None:
    import hashlib

    body = store.place.get_bytes(f"records/releases/tracing/decisions/{decision.version}/{decision.decided}.json")
    assert body is not None
    assert decision.digest == hashlib.sha256(body).hexdigest()
    assert (
        Decision.from_json(store.read_record(f"releases/tracing/decisions/{decision.version}/{decision.decided}.json"))
        == decision
    )


def test_two_different_people_are_enough_and_one_twice_is_not(
    store: Store, people: Approvers, decision: Decision
) -> None:
    records = ApprovalRecords(store, people)
    records.add(sign_approval(decision, "approve", "anna", "looked at it", ANNA))
    assert [one.by for one in records.of(decision)] == ["anna"]
    assert not is_enough(decision, records.of(decision), TODAY)
    with pytest.raises(StoreConflictError, match="anna has said"):
        records.add(sign_approval(decision, "approve", "anna", "again", ANNA))
    assert not is_enough(decision, [*records.of(decision)] * 2, TODAY)
    records.add(sign_approval(decision, "approve", "ben", "me too", BEN))
    assert is_enough(decision, records.of(decision), TODAY)


def test_it_reads_as_no_after_its_last_day_and_after_one_no(
    store: Store, people: Approvers, decision: Decision
) -> None:
    records = ApprovalRecords(store, people)
    for name, key in (("anna", ANNA), ("ben", BEN)):
        records.add(sign_approval(decision, "approve", name, "fine", key))
    said = records.of(decision)
    assert is_enough(decision, said, date(2026, 12, 6))
    assert not is_enough(decision, said, date(2026, 12, 7))
    assert not is_enough(replace(decision, until="soon"), said, TODAY)
    no = sign_approval(decision, "reject", "carla", "no", ANNA)
    assert not is_enough(decision, [*said, no], TODAY)


def test_what_is_written_into_a_decision_counts_by_people_who_are_for_it(decision: Decision) -> None:
    anna, ben = (sign_approval(decision, "approve", name, "fine", ANNA).to_json() for name in ("anna", "ben"))
    no = sign_approval(decision, "reject", "carla", "no", ANNA).to_json()
    cases: list[tuple[list[Any], set[str]]] = [
        ([], set()),
        ([anna], {"anna"}),
        ([anna, anna], {"anna"}),
        ([anna, ben], {"anna", "ben"}),
        ([anna, ben, no], set()),
        ([no], set()),
        ([anna, {**ben, "verdict": "perhaps"}], set()),
        ([anna, {**ben, "version": "tracing-ffffffffffff"}], set()),
        ([anna, "ben"], set()),
        ([anna, {}], set()),
    ]
    for words, people in cases:
        assert approved_by(replace(decision, approvals=tuple(words))) == people, words


class TestForgeries:
    def counted(self, store: Store, people: Approvers, decision: Decision, said: Approval) -> int:
        ApprovalRecords(store, people).add(said)
        return len(ApprovalRecords(store, people).of(decision))

    def test_a_signature_by_another_key(self, store: Store, people: Approvers, decision: Decision) -> None:
        assert self.counted(store, people, decision, sign_approval(decision, "approve", "anna", "fine", BEN)) == 0

    def test_a_person_whom_nobody_knows(self, store: Store, people: Approvers, decision: Decision) -> None:
        assert self.counted(store, people, decision, sign_approval(decision, "approve", "carla", "fine", ANNA)) == 0

    @pytest.mark.parametrize("change", [{"reason": "other"}, {"verdict": "reject"}, {"at": "20200101T000000Z"}])
    def test_a_word_that_was_changed(
        self, store: Store, people: Approvers, decision: Decision, change: dict[str, str]
    ) -> None:
        said = sign_approval(decision, "approve", "anna", "fine", ANNA)
        assert self.counted(store, people, decision, replace(said, **change)) == 0  # type: ignore[arg-type]  # texts

    def test_a_word_on_another_decision(self, store: Store, people: Approvers, decision: Decision) -> None:
        other = DecisionRecords(store).add(replace(WAITING, reason="another time"))
        said = sign_approval(other, "approve", "anna", "fine", ANNA)
        moved = replace(said, decision=decision.digest)
        assert self.counted(store, people, decision, moved) == 0
        store.write_record(f"approvals/tracing/{decision.version}/{decision.digest}/ben.json", said.to_json())
        assert ApprovalRecords(store, people).of(decision) == []

    def test_an_approver_who_made_himself_one(self, store: Store, people: Approvers, decision: Decision) -> None:
        """Who can write into the store, but has not the installation's key, adds nobody."""
        Approvers(store, THEIRS.public).add("eve", THEIRS.public, "eve", THEIRS)
        with pytest.raises(ConfigError, match="not signed with this installation's key"):
            people.find("eve")
        assert [one.name for one in people.all()] == ["anna", "ben"]
        assert self.counted(store, people, decision, sign_approval(decision, "approve", "eve", "fine", THEIRS)) == 0

    def test_an_approver_whose_key_was_exchanged(self, store: Store, people: Approvers, decision: Decision) -> None:
        value = store.read_record("approvers/anna.json")
        store.write_record("approvers/anna.json", {**value, "key": THEIRS.public.value.hex()})
        assert self.counted(store, people, decision, sign_approval(decision, "approve", "anna", "fine", THEIRS)) == 0

    def test_records_that_are_none(self, store: Store, people: Approvers, decision: Decision) -> None:
        folder = f"approvals/tracing/{decision.version}/{decision.digest}"
        for name, value in (("a", None), ("b", []), ("c", {}), ("d", {"format": 1, "signature": "zz"})):
            store.write_record(f"{folder}/{name}.json", value)  # type: ignore[arg-type]  # what a store may hold
        assert ApprovalRecords(store, people).of(decision) == []


def test_a_removed_person_counts_no_more_and_the_name_stays_taken(
    store: Store, people: Approvers, decision: Decision
) -> None:
    records = ApprovalRecords(store, people)
    records.add(sign_approval(decision, "approve", "anna", "fine", ANNA))
    assert people.remove("anna", OURS).removed
    assert records.of(decision) == []
    with pytest.raises(StoreConflictError, match="anna is an approver already"):
        people.add("anna", SigningKey(b"c" * 32).public, "root", OURS)


def test_one_key_is_one_person(people: Approvers) -> None:
    with pytest.raises(ConfigError, match=r"belongs to anna already: two approvals must be by two people"):
        people.add("anna.again", ANNA.public, "root", OURS)


@pytest.mark.parametrize("name", ["", "../anna", "a b", "-x", "ä", "x" * 65, "a/b"])
def test_a_name_that_is_none_is_refused(people: Approvers, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be an approver's name"):
        people.add(name, SigningKey(b"c" * 32).public, "root", OURS)


@pytest.mark.parametrize("reason", ["", "  ", "two\nlines", "x" * 501])
def test_a_word_needs_a_reason(decision: Decision, reason: str) -> None:
    with pytest.raises(ConfigError, match="expected 1 to 500 on one line"):
        sign_approval(decision, "approve", "anna", reason, ANNA)


def test_the_state_of_a_decision_in_a_word() -> None:
    stop = Finding(check="gap", subject="all", measure="auc", outcome="stop", reason="too wide")
    assert WAITING.status == "waits for approval"
    assert replace(WAITING, until="").status == "not promoted"
    assert replace(WAITING, findings=(stop,)).status == "stopped"
    assert replace(WAITING, findings=()).status == "stopped"  # nothing was judged
    assert replace(WAITING, promote=True).status == "promoted"
