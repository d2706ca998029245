"""Releases that wait for people: on the command line, from the run's decision to the entry in the log."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from components.artifacts import Release
from components.deploy.config import DeployConfig
from components.errors import ConfigError, GateStoppedError, StoreConflictError
from components.gate.decision import Decision, Finding
from components.gate.override import Override, today_utc
from components.gate.records import DecisionRecords
from components.signing import SigningKey
from components.store import Store
from flows import approving, promotion
from flows.__main__ import cli
from flows.approving import waiting
from flows.promotion import promote_by_hand, promote_if_better, put_beside, roll_back
from flows.settings import Settings
from serving.registry import ReleaseRegistry
from tests.flows.test_override import APPLICATION, PASS, STOP, release


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("HOMEROOM_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("HOMEROOM_KEYS", str(tmp_path / "keys"))
    return Settings().open_store()


def homeroom(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def said(*arguments: str) -> Any:
    result = homeroom(*arguments, "--json")
    assert result.exit_code == 0, (result.output, result.exception)
    return json.loads(result.stdout)


def waits(store: Store, digits: str, needs: int = 1, findings: Sequence[Finding] = (PASS,)) -> tuple[Release, Decision]:
    """Return a release that a run has decided on, which waits for people."""
    found = release(store, digits, findings, decided=False)
    current = ReleaseRegistry(store).current(APPLICATION)
    draft = Decision(
        application=APPLICATION,
        version=found.version,
        promote=True,
        reason="not worse",
        findings=tuple(findings),
        champion=None if current is None else current.version,
        needs=needs,
        by="run 7",
    )
    return found, DecisionRecords(store).add(waiting(draft, 14))


def test_one_approval_makes_it_serve_and_the_log_names_the_signed_decision(store: Store) -> None:
    found, decision = waits(store, "aa")
    assert said("approvers", "add", "a.mensah")["name"] == "a.mensah"
    assert (Settings().keys / "approver-a.mensah.ed25519").stat().st_mode & 0o777 == 0o600
    value = said("approve", "aa", "--by", "a.mensah", "--reason", "looked at the groups")
    entry = value["entry"]
    assert entry["champion"] == {"version": found.version, "artifact": found.sha256, "decision": entry["decision"]}
    assert (entry["by"], entry["reason"]) == ("a.mensah", "approved by a.mensah (looked at the groups)")
    latest = DecisionRecords(store).latest(APPLICATION, found.version)
    assert latest is not None
    assert (latest.status, latest.digest) == ("promoted", entry["decision"])
    assert [one["decision"] for one in latest.approvals] == [decision.digest]
    assert ("approval", "pass") in {(f.check, f.outcome) for f in latest.findings}


def test_who_cannot_be_an_approver_leaves_no_key_and_who_is_none_is_told_so(store: Store) -> None:
    waits(store, "aa")
    for name in ("\u00c4. Mensah", "../anna", ""):
        assert isinstance(homeroom("approvers", "add", name).exception, ConfigError)
    said("approvers", "add", "anna")
    private = Settings().keys / "approver-anna.ed25519"
    private.unlink()  # given to the person
    assert isinstance(homeroom("approvers", "add", "anna").exception, StoreConflictError)
    assert not private.exists(), "a new key would not be hers"
    assert not list(Settings().keys.parent.rglob("*Mensah*"))
    refused = homeroom("approve", "aa", "--by", "ben", "--reason", "fine").exception
    assert "ben is no approver here" in str(refused)


def test_two_approvals_are_by_two_people(store: Store) -> None:
    found, decision = waits(store, "aa", needs=2)
    for name in ("anna", "ben"):
        said("approvers", "add", name)
    first = homeroom("approve", "aa", "--by", "anna", "--reason", "fine")
    assert f"1 of 2 approvals; the last day is {decision.until}" in first.output
    assert "nothing serves yet" in first.output
    homeroom("approve", "aa", "--by", "anna", "--reason", "fine, I said")
    assert ReleaseRegistry(store).current(APPLICATION) is None
    homeroom("approve", "aa", "--by", "ben", "--reason", "fine")
    current = ReleaseRegistry(store).current(APPLICATION)
    assert current is not None
    assert (current.version, current.by) == (found.version, "anna and ben")


def test_by_hand_it_does_not_serve_before_and_comes_back_afterwards(store: Store) -> None:
    found, _ = waits(store, "aa")
    with pytest.raises(GateStoppedError, match=r"needs the approval of 1 .* has 0: `homeroom approve"):
        promote_by_hand(store, found, "I am in a hurry")
    said("approvers", "add", "anna")
    said("approve", "aa", "--by", "anna", "--reason", "fine")
    promote_by_hand(store, release(store, "bb", [PASS]), "another")
    assert roll_back(store, APPLICATION, "it was better") is not None
    promote_by_hand(store, found, "once more")


def test_an_override_of_the_gate_needs_the_approval_too(store: Store) -> None:
    found = release(store, "aa", [STOP], decided=False)
    draft = Decision(
        application=APPLICATION, version=found.version, promote=False, reason="no", findings=(STOP,), needs=1
    )
    DecisionRecords(store).add(draft)
    said("approvers", "add", "anna")
    refused = homeroom("approve", "aa", "--by", "anna", "--reason", "fine")
    assert "it is stopped (no)" in str(refused.exception)
    until = today_utc().isoformat()
    value = said("promote", "aa", "--override-by", "A. Mensah", "--reason", "this term", "--until", until)
    assert (value["entry"], value["decision"]["status"]) == (None, "waits for approval")
    entry = said("approve", "aa", "--by", "anna", "--reason", "fine")["entry"]
    assert (entry["champion"]["version"], entry["override"]["by"]) == (found.version, "A. Mensah")


def test_a_no_is_final_for_the_decision(store: Store) -> None:
    found, _ = waits(store, "aa", needs=2)
    for name in ("anna", "ben"):
        said("approvers", "add", name)
    said("approve", "aa", "--by", "anna", "--reason", "fine")
    value = said("reject", "aa", "--by", "ben", "--reason", "one school's gap is new")
    assert value["decision"]["status"] == "stopped"
    assert value["decision"]["reason"] == "rejected by ben: one school's gap is new"
    again = homeroom("approve", "aa", "--by", "anna", "--reason", "please")
    assert isinstance(again.exception, GateStoppedError)
    assert "it is stopped (rejected by ben" in str(again.exception)
    with pytest.raises(GateStoppedError, match="rejected by ben"):
        promote_by_hand(store, found, "all the same")


def overridden(store: Store, found: Release) -> Decision:
    """Promote by hand with an override of today."""
    override = Override(by="Eve", reason="all the same", until=today_utc().isoformat(), given="20261122T100000Z")
    return promote_by_hand(store, found, "all the same", override)


def test_a_no_is_no_approval_that_an_override_could_go_by(store: Store) -> None:
    found, _ = waits(store, "aa")
    for name in ("anna", "ben"):
        said("approvers", "add", name)
    said("reject", "aa", "--by", "ben", "--reason", "one school's gap is new")
    waiting_again = overridden(store, found)
    assert (waiting_again.status, waiting_again.approvals) == ("waits for approval", ())
    assert ReleaseRegistry(store).current(APPLICATION) is None
    said("reject", "aa", "--by", "ben", "--reason", "one school's gap is new")  # the same again: another no
    with pytest.raises(GateStoppedError, match=r"it was given for less.*rejected by ben"):
        promote_by_hand(store, found, "once more")
    assert overridden(store, found).status == "waits for approval"
    entry = said("approve", "aa", "--by", "anna", "--reason", "it was looked into")["entry"]
    assert (entry["champion"]["version"], entry["by"], entry["override"]["by"]) == (found.version, "anna", "Eve")


def test_one_yes_and_one_no_are_not_two_approvals(store: Store) -> None:
    promote_by_hand(store, release(store, "bb", [PASS]), "so that there is something to be beside")
    found, _ = waits(store, "aa", needs=2)
    for name in ("anna", "ben"):
        said("approvers", "add", name)
    said("approve", "aa", "--by", "anna", "--reason", "fine")
    said("reject", "aa", "--by", "ben", "--reason", "one school's gap is new")
    override = Override(by="Eve", reason="all the same", until=today_utc().isoformat(), given="20261122T100000Z")
    with pytest.raises(GateStoppedError, match=r"needs the approval of 2 .* has 0"):
        put_beside(store, found, "all the same", 10, override)
    with pytest.raises(GateStoppedError, match=r"needs the approval of 2 .* has 0"):
        roll_back(store, APPLICATION, "all the same", found.version, override)
    assert overridden(store, found).status == "waits for approval"
    state = ReleaseRegistry(store).log(APPLICATION).latest()
    assert state is not None
    assert (state.number, state.challenger) == (1, None)


def test_after_the_last_day_it_reads_as_no(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    waits(store, "aa")
    said("approvers", "add", "anna")
    monkeypatch.setattr(approving, "today_utc", lambda: date(2999, 1, 1))
    late = homeroom("approve", "aa", "--by", "anna", "--reason", "fine")
    assert isinstance(late.exception, GateStoppedError)
    assert "was over on" in str(late.exception)
    assert ReleaseRegistry(store).current(APPLICATION) is None


def test_a_champion_that_changed_in_between_needs_another_decision(store: Store) -> None:
    waits(store, "aa")
    said("approvers", "add", "anna")
    other = release(store, "bb", [PASS])
    promote_by_hand(store, other, "meanwhile")
    refused = homeroom("approve", "aa", "--by", "anna", "--reason", "fine")
    assert isinstance(refused.exception, GateStoppedError)
    assert f"was compared with nothing, and {other.version} serves now" in str(refused.exception)
    current = ReleaseRegistry(store).current(APPLICATION)
    assert current is not None
    assert current.version == other.version


@pytest.fixture
def run_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> Callable[[Release], Decision]:
    """Return what decides on a release as a run does that finds the same as ever: one pass, and nothing packaged."""
    monkeypatch.setattr(promotion, "findings_on", lambda *_: (PASS,))
    monkeypatch.setattr(promotion, "packaged_findings", lambda *_, **__: [])
    application: Any = SimpleNamespace(name=APPLICATION, kind=SimpleNamespace(headline="auc"))
    config, key = DeployConfig(approvals=1), SigningKey(bytes(32))

    def decide(found: Release) -> Decision:
        outcome: Any = SimpleNamespace(release=found)
        return promote_if_better(store, application, outcome, signing_key=key, config=config, by="run 8")

    return decide


@pytest.mark.parametrize(("verdict", "back"), [("approve", False), ("approve", True), ("reject", False)])
def test_a_run_on_the_same_data_repeats_what_people_said_and_decides_nothing_new(
    store: Store, run_again: Callable[[Release], Decision], verdict: str, back: bool
) -> None:
    promote_by_hand(store, release(store, "bb", [PASS]), "first")
    found = release(store, "aa", [PASS], decided=False)
    beside = Finding(check="non_inferiority", subject="all", measure="auc", outcome="pass", reason="not worse")
    current = ReleaseRegistry(store).current(APPLICATION)
    assert current is not None
    draft = Decision(
        application=APPLICATION,
        version=found.version,
        promote=True,
        reason="not worse",
        findings=(PASS, beside),
        champion=current.version,
        needs=1,
        by="run 7",
    )
    records = DecisionRecords(store)
    records.add(waiting(draft, 14))
    said("approvers", "add", "anna")
    said(verdict, "aa", "--by", "anna", "--reason", "looked at the groups")
    if back:
        roll_back(store, APPLICATION, "teachers saw odd answers")
    before, times = latest_of(store, found), records.times(APPLICATION, found.version)
    for _ in range(2):
        again = run_again(found)
        assert again.decided == before.decided  # so that nobody is told twice
        assert again.promote == (verdict == "approve" and not back)
        assert [(f.check, f.outcome) for f in again.findings if f.check == "approval"] == [
            ("approval", "pass" if verdict == "approve" else "stop")
        ]
    assert records.times(APPLICATION, found.version) == times
    assert latest_of(store, found) == before


def test_an_unknown_person_a_removed_one_and_anothers_key_are_refused(store: Store, tmp_path: Path) -> None:
    waits(store, "aa")
    for name in ("anna", "ben"):
        said("approvers", "add", name)
    keys = Settings().keys
    wrong_key = homeroom("approve", "aa", "--by", "anna", "--reason", "x", "--key", str(keys / "approver-ben.ed25519"))
    assert isinstance(wrong_key.exception, ConfigError)
    assert "not this one" in str(wrong_key.exception)
    unknown = homeroom("approve", "aa", "--by", "eve", "--reason", "x", "--key", str(keys / "approver-ben.ed25519"))
    assert "eve is no approver here" in str(unknown.exception)
    said("approvers", "remove", "anna")
    removed = homeroom("approve", "aa", "--by", "anna", "--reason", "x")
    assert "anna was removed on" in str(removed.exception)
    assert [(p["name"], bool(p["removed"])) for p in said("approvers", "list")["approvers"]] == [
        ("anna", True),
        ("ben", False),
    ]
    assert ReleaseRegistry(store).current(APPLICATION) is None


def test_what_waits_for_nobody_cannot_be_approved(store: Store) -> None:
    release(store, "aa", [PASS])
    release(store, "bb", [STOP])
    release(store, "cc", None)
    said("approvers", "add", "anna")
    for digits, why in (("aa", "is not promoted"), ("bb", "is stopped"), ("cc", "Nobody decided")):
        refused = homeroom("approve", digits, "--by", "anna", "--reason", "fine")
        assert isinstance(refused.exception, GateStoppedError)
        assert why in str(refused.exception)


def test_a_crash_before_it_serves_is_made_good_by_the_same_command(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = waits(store, "aa")
    said("approvers", "add", "anna")

    def crash(*_: object, **__: object) -> None:
        raise RuntimeError("the machine went away")

    with monkeypatch.context() as patch:
        patch.setattr(approving, "_serve", crash)
        assert isinstance(homeroom("approve", "aa", "--by", "anna", "--reason", "fine").exception, RuntimeError)
    assert ReleaseRegistry(store).current(APPLICATION) is None
    said("approve", "aa", "--by", "anna", "--reason", "fine")
    current = ReleaseRegistry(store).current(APPLICATION)
    assert current is not None
    assert current.version == found.version
    assert isinstance(homeroom("approve", "aa", "--by", "anna", "--reason", "fine").exception, GateStoppedError)


def latest_of(store: Store, found: Release) -> Decision:
    latest = DecisionRecords(store).latest(APPLICATION, found.version)
    assert latest is not None
    return latest


@pytest.mark.parametrize("later", ["", "a run wrote a decision", "an entry of the log is damaged", "a canary"])
def test_one_word_does_not_bring_back_what_was_approved_and_taken_back(store: Store, later: str) -> None:
    promote_by_hand(store, release(store, "cc", [PASS]), "first")
    found, _ = waits(store, "aa", needs=2)
    for name in ("anna", "ben"):
        said("approvers", "add", name)
        entry = said("approve", "aa", "--by", name, "--reason", "fine")["entry"]
    assert entry["champion"]["version"] == found.version
    if later == "a canary":  # as if it had been given a share of the students only, which was withdrawn
        log = Path(store.url) / "records" / "releases" / APPLICATION / "log"
        (log / "00000002.json").unlink()
        put_beside(store, found, "a few", 10)
        assert said("rollback", APPLICATION, "--withdraw", "challenger")["entry"]["challenger"] is None
    else:
        roll_back(store, APPLICATION, "teachers saw odd answers")
    if later == "a run wrote a decision":  # while it served: the same approvals in another document
        DecisionRecords(store).add(replace(latest_of(store, found), reason="it is the current release already"))
    if later == "an entry of the log is damaged":
        (Path(store.url) / "records" / "releases" / APPLICATION / "log" / "00000002.json").write_bytes(b"")
    before = ReleaseRegistry(store).log(APPLICATION).last_number()
    refused = homeroom("approve", "aa", "--by", "anna", "--reason", "I like it")
    assert isinstance(refused.exception, GateStoppedError)
    assert f"`homeroom promote {found.version}` makes it serve (again)" in str(refused.exception)
    assert ReleaseRegistry(store).log(APPLICATION).last_number() == before
    promote_by_hand(store, found, "the teachers were asked", by="ben")  # what the message advises: said and recorded
    current = ReleaseRegistry(store).current(APPLICATION)
    assert current is not None
    assert (current.version, current.by, current.reason) == (found.version, "ben", "the teachers were asked")


def test_an_override_that_expired_before_the_crash_was_made_good_lets_nothing_through(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = release(store, "aa", [STOP], decided=False)
    draft = Decision(
        application=APPLICATION, version=found.version, promote=False, reason="no", findings=(STOP,), needs=1
    )
    DecisionRecords(store).add(draft)
    said("approvers", "add", "anna")
    overridden(store, found)

    def crash(*_: object, **__: object) -> None:
        raise RuntimeError("the machine went away")

    with monkeypatch.context() as patch:
        patch.setattr(approving, "_serve", crash)
        assert isinstance(homeroom("approve", "aa", "--by", "anna", "--reason", "fine").exception, RuntimeError)
    assert latest_of(store, found).promote
    with monkeypatch.context() as patch:
        patch.setattr(approving, "today_utc", lambda: date(2999, 1, 1))
        refused = homeroom("approve", "aa", "--by", "anna", "--reason", "fine")
    assert isinstance(refused.exception, GateStoppedError)
    assert "has expired" in str(refused.exception)
    assert ReleaseRegistry(store).current(APPLICATION) is None
    assert said("approve", "aa", "--by", "anna", "--reason", "fine")["entry"]["champion"]["version"] == found.version


def test_a_promoter_who_was_first_is_named_to_the_one_who_was_second(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = release(store, "aa", [PASS]), release(store, "bb", [PASS])
    verify = Store.verify

    def meanwhile(self: Store, artifact: Any, **more: Any) -> None:
        monkeypatch.setattr(Store, "verify", verify)
        ReleaseRegistry(store).promote(two, "quicker", by="maria")
        verify(self, artifact, **more)

    monkeypatch.setattr(Store, "verify", meanwhile)
    with pytest.raises(StoreConflictError, match=f"first: entry 1: maria, promote {two.version} at .*quicker"):
        promote_by_hand(store, one, "mine")
    current = ReleaseRegistry(store).current(APPLICATION)
    assert current is not None
    assert current.version == two.version
