"""`homeroom releases`, `promote`, `rollback` and `diff` on the command line, the notifications and doctor's look."""

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from components.artifacts import Release
from components.errors import ConfigError, GateStoppedError
from components.gate.records import DecisionRecords
from components.store import Store
from flows import notices
from flows.__main__ import cli
from flows.checks import check_logs
from flows.cli.serve import _supervised
from flows.notices import tell, tell_entry
from flows.operations import run_request
from flows.settings import Settings
from serving.errors import ReleaseNotFoundError, ServerStartError
from serving.registry import Challenger, Change, PointerLog, ReleaseRegistry, Slot, State
from serving.supervise.limits import Limits
from tests.conftest import Released
from tests.flows.test_override import APPLICATION, PASS, STOP, release
from tests.serving.releasing import say
from tests.serving.supervising import worker_at


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("HOMEROOM_STORE", str(tmp_path / "store"))
    return Settings().open_store()


def homeroom(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def said(*arguments: str) -> Any:
    result = homeroom(*arguments, "--json")
    assert result.exit_code == 0, (result.output, result.exception)
    return json.loads(result.stdout)


class TestWhoServedWhen:
    @pytest.fixture
    def releases(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> Sequence[Release]:
        made = [release(store, digits, [PASS]) for digits in ("aa", "bb", "cc")]

        class Clock(datetime):
            moment = datetime(2026, 4, 1, tzinfo=UTC)

            @classmethod
            def now(cls, tz: Any = None) -> "Clock":  # Any: as datetime's own
                return cls.fromtimestamp(cls.moment.timestamp(), UTC)

        monkeypatch.setattr("serving.registry.log.datetime", Clock)
        for one, moment in zip(made, ((4, 1, 8), (5, 1, 9), (5, 1, 15)), strict=True):
            Clock.moment = datetime(2026, *moment, tzinfo=UTC)
            ReleaseRegistry(store).promote(one, "new", by="maria")
        return made

    @pytest.mark.parametrize(
        ("when", "served"),
        [
            ("2026-03-31", []),
            ("2026-04-01", [0]),
            ("2026-04-30", [0]),
            ("2026-05-01", [0, 1, 2]),  # all that served on that day
            ("2026-05-02", [2]),
            ("2026-05-01T08:59", [0]),
            ("2026-05-01T09:00", [1]),
            ("2026-05-01T14:00+02:00", [1]),
            ("2030-01-01", [2]),
        ],
    )
    def test_at_a_day_and_at_a_moment(self, releases: Sequence[Release], when: str, served: list[int]) -> None:
        value = said("releases", APPLICATION, "--at", when)
        assert [one["version"] for one in value["served"]] == [releases[number].version for number in served]
        shown = homeroom("releases", APPLICATION, "--at", when).output
        assert all(f"{releases[number].version}  since 2026" in shown for number in served)
        assert ("nothing served" in shown) is (not served)

    def test_a_day_that_is_none_is_refused(self, releases: Sequence[Release]) -> None:
        assert homeroom("releases", APPLICATION, "--at", "last week").exit_code == 2


def test_promoting_names_who_why_and_the_digest_of_the_decision(store: Store) -> None:
    found = release(store, "aa", [PASS])
    value = said("promote", "aa", "--reason", "the council approved it", "--by", "A. Mensah")
    entry, decision = value["entry"], value["decision"]
    assert (entry["number"], entry["action"], entry["by"]) == (1, "promote", "A. Mensah")
    assert (entry["reason"], entry["champion"]["version"]) == ("the council approved it", found.version)
    latest = DecisionRecords(store).latest(APPLICATION, found.version)
    assert latest is not None
    assert entry["decision"] == latest.digest == decision["digest"]
    assert decision["status"] == "promoted"
    listed = said("releases", APPLICATION)
    assert listed["entry"] == entry
    assert [(one["version"], one["by"]) for one in listed["history"]] == [(found.version, "A. Mensah")]


def test_without_a_name_it_is_the_systems_user(store: Store) -> None:
    import getpass

    release(store, "aa", [PASS])
    assert said("promote", "aa")["entry"]["by"] == getpass.getuser()


def test_a_canary_a_shadow_and_their_end(store: Store) -> None:
    one, two, three = (release(store, digits, [PASS]) for digits in ("aa", "bb", "cc"))
    assert isinstance(homeroom("promote", "bb", "--canary", "10").exception, ReleaseNotFoundError)
    said("promote", "aa")
    entry = said("promote", "bb", "--canary", "10", "--by", "maria")["entry"]
    assert (entry["champion"]["version"], entry["challenger"]["version"]) == (one.version, two.version)
    assert (entry["challenger"]["percent"], entry["action"]) == (10, "challenge")
    assert entry["decision"] is not None
    assert said("promote", "cc", "--shadow")["entry"]["shadow"]["version"] == three.version
    shown = homeroom("releases", APPLICATION).output
    assert f"challenger: {two.version}, 10 % of the students\nshadow: {three.version}" in shown
    assert said("rollback", APPLICATION, "--withdraw", "challenger")["entry"]["challenger"] is None
    assert said("promote", "bb")["entry"]["shadow"]["version"] == three.version
    assert homeroom("promote", "aa", "--canary", "100").exit_code == 2
    assert homeroom("promote", "aa", "--canary", "10", "--shadow").exit_code == 2
    assert isinstance(homeroom("promote", "bb", "--canary", "10").exception, ConfigError)


def test_a_decision_is_shown_with_what_the_log_says_of_the_release(store: Store) -> None:
    """The document of a canary says "not promoted" for ever; that it serves since is the log's to say."""
    releases = [release(store, digits, [PASS]) for digits in ("aa", "bb")]
    one, two = map(slot_of, releases)
    log = PointerLog(store, APPLICATION)

    def standing() -> tuple[Any, ...]:
        found = said("releases", APPLICATION, "--decision", "bb")
        shown = homeroom("releases", APPLICATION, "--decision", "bb").output
        return found["status"], found["log"]["slot"], found["log"]["percent"], shown.splitlines()[-1]

    assert standing() == ("not promoted", None, None, "the log says: it does not serve; it never was champion")
    said("promote", "aa")
    said("promote", "bb", "--canary", "10")
    now = "the log says: it is the challenger, 10 % of the students; it never was champion"
    assert standing() == ("not promoted", "challenger", 10, now)
    state = say(log, "promote", two)  # as the supervisor does at the end
    became = f"promote at {state.at} by a test (try)"
    assert standing() == ("not promoted", "champion", None, f"the log says: it serves, {became}")
    say(log, "rollback", one)
    assert standing()[1:] == (None, None, f"the log says: it does not serve; it did, {became}")
    said("promote", "bb", "--shadow")
    assert standing()[1:] == ("shadow", None, f"the log says: it is the shadow; it did, {became}")
    store.place.put_bytes(f"records/{log.path(log.last_number())}", b"{")
    assert "the log says nothing: records/" in standing()[3]


def test_the_list_tells_of_all_that_was_in_a_slot_and_each_command_of_what_it_did(store: Store) -> None:
    one, two, three = (release(store, digits, [PASS]) for digits in ("aa", "bb", "cc"))
    said("promote", "aa")
    canary = homeroom("promote", "bb", "--canary", "10", "--reason", "carefully").output
    assert canary.startswith(f"{two.version}: a canary (carefully)\ncurrent: {one.version}\n")
    assert homeroom("promote", "cc", "--shadow", "--reason", "a look").output.startswith(
        f"{three.version}: a shadow (a "
    )
    said("rollback", APPLICATION, "--withdraw", "challenger", "--reason", "odd")
    said("promote", "bb", "--reason", "good")
    back = homeroom("rollback", APPLICATION, "--reason", "bad").output
    assert back.startswith(f"{one.version}: rolled back to (bad)\ncurrent: {one.version}\n")
    lines = [line.split()[1:4] for line in homeroom("releases", APPLICATION).output.splitlines()[:6]]
    assert lines == [
        ["promote", one.version, "by"],
        ["challenge", two.version, "at"],
        ["shadow", three.version, "a"],
        ["withdraw", two.version, "odd"],
        ["promote", two.version, "good"],
        ["rollback", one.version, "bad"],
    ]
    listed = said("releases", APPLICATION)
    assert [(one["number"], one["action"]) for one in listed["beside"]] == [
        (2, "challenge"),
        (3, "shadow"),
        (4, "withdraw"),
    ]


def test_a_stopped_release_is_no_canary_without_an_override(store: Store) -> None:
    release(store, "aa", [PASS])
    release(store, "bb", [STOP])
    said("promote", "aa")
    assert isinstance(homeroom("promote", "bb", "--canary", "10").exception, GateStoppedError)
    said("promote", "bb", "--shadow")  # nobody sees its answers


def test_rolling_back_is_one_entry(store: Store) -> None:
    one, two = (release(store, digits, [PASS]) for digits in ("aa", "bb"))
    said("promote", "aa")
    said("promote", "bb")
    entry = said("rollback", APPLICATION, "--reason", "teachers saw odd answers", "--by", "maria")["entry"]
    assert (entry["number"], entry["action"], entry["champion"]["version"]) == (3, "rollback", one.version)
    assert said("rollback", APPLICATION, "--to", "bb")["entry"]["champion"]["version"] == two.version


def test_a_damaged_log_is_told_by_check_and_by_doctor(store: Store) -> None:
    for digits in ("aa", "bb", "cc"):
        release(store, digits, [PASS])
        said("promote", digits)
    assert said("releases", APPLICATION, "--check")["faults"] == []
    assert check_logs(Settings()).ok
    store.delete_record(PointerLog(store, APPLICATION).path(2))
    result = homeroom("releases", APPLICATION, "--check")
    assert (result.exit_code, result.output) == (1, "entry 2 is missing: it was deleted\n")
    check = check_logs(Settings())
    assert not check.ok
    assert check.finding == f"{APPLICATION}: entry 2 is missing: it was deleted"


class FakeBlock:
    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []

    def notify(self, body: str, subject: str | None = None) -> None:
        self.sent.append((subject or "", body))


@pytest.fixture
def block(monkeypatch: pytest.MonkeyPatch) -> FakeBlock:
    monkeypatch.setenv("HOMEROOM_NOTIFY", "slack-webhook/district")
    block = FakeBlock()
    monkeypatch.setattr(notices, "_block", {"slack-webhook/district": block}.__getitem__)
    return block


def test_there_is_one_notification_per_outcome(store: Store, block: FakeBlock) -> None:
    release(store, "aa", [PASS])
    release(store, "bb", [PASS])
    said("promote", "aa")
    said("promote", "bb", "--reason", "better")
    said("rollback", APPLICATION, "--reason", "odd answers")
    said("releases", APPLICATION)
    assert [subject for subject, _ in block.sent] == [
        f"homeroom {APPLICATION}: {what}" for what in ("promoted", "promoted", "rolled back")
    ]
    assert block.sent[1][1] == f"{APPLICATION}-bb0000000000: promoted. by hand: better"
    assert block.sent[2][1] == f"{APPLICATION}-aa0000000000: rolled back. odd answers"


def test_what_the_service_did_by_itself_is_told_as_people_say_it(store: Store, block: FakeBlock) -> None:
    """A canary's steps are no outcome; its end, a withdrawal and a rollback are."""
    log = PointerLog(store, APPLICATION)
    one, other = (slot_of(release(store, digits, [PASS])) for digits in ("aa", "bb"))
    half = Challenger(version=other.version, artifact=other.artifact, percent=50)
    before: State | None = None
    for action, champion, challenger, shadow in (
        ("promote", one, None, None),
        ("challenge", one, half, None),
        ("canary", one, half, None),
        ("withdraw", one, None, None),
        ("shadow", one, None, other),
        ("withdraw", one, None, None),
        ("promote", other, None, None),
        ("rollback", one, None, None),
    ):
        change = Change(
            action=action,  # type: ignore[arg-type]  # of the list above
            by="server test",
            reason=f"{action} it",
            champion=champion,
            challenger=challenger,
            shadow=shadow,
        )
        written = log.append(change, expected=0 if before is None else before.number)
        if before is not None:
            tell_entry(Settings(), APPLICATION, before, written)
        before = written
    assert block.sent == [
        (f"homeroom {APPLICATION}: withdrawn", f"{other.version}: withdrawn. withdraw it"),
        (f"homeroom {APPLICATION}: withdrawn", f"{other.version}: withdrawn. withdraw it"),
        (f"homeroom {APPLICATION}: promoted", f"{other.version}: promoted. promote it"),
        (f"homeroom {APPLICATION}: rolled back", f"{one.version}: rolled back. rollback it"),
    ]


def slot_of(made: Release) -> Slot:
    return Slot(version=made.version, artifact=made.sha256)


def test_a_withdrawal_by_hand_is_told_too(store: Store, block: FakeBlock) -> None:
    release(store, "aa", [PASS])
    release(store, "bb", [PASS])
    said("promote", "aa")
    said("promote", "bb", "--canary", "10")
    said("rollback", APPLICATION, "--withdraw", "challenger", "--reason", "odd answers")
    assert [subject.rpartition(": ")[2] for subject, _ in block.sent] == ["promoted", "withdrawn"]
    assert block.sent[1][1] == f"{APPLICATION}-bb0000000000: withdrawn. odd answers"


def test_serving_tells_what_its_supervisor_wrote(store: Store, block: FakeBlock) -> None:
    log = PointerLog(store, APPLICATION)
    one, other = (slot_of(release(store, digits, [PASS])) for digits in ("aa", "bb"))
    say(log, "promote", one)
    state = say(log, "canary", one, (other, 50))
    server = SimpleNamespace(workers=lambda: [replace(worker_at(state, {}), challenger=None)])  # it cannot load it
    with _supervised(Settings(), store, APPLICATION, server, Limits(min_stage_s=0.0), True):  # type: ignore[arg-type]
        until = time.monotonic() + 20
        while not block.sent and time.monotonic() < until:
            time.sleep(0.05)
    reason = f"{other.version} is withdrawn: a worker cannot load it; its /v1/version says why"
    assert block.sent == [(f"homeroom {APPLICATION}: withdrawn", f"{other.version}: withdrawn. {reason}")]


def test_a_notification_that_fails_stops_nothing_and_without_a_block_none_is_sent(
    store: Store, block: FakeBlock, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def broken(body: str, subject: str | None = None) -> None:
        raise ConnectionError("https://hooks.example/secret")

    monkeypatch.setattr(block, "notify", broken)
    tell(Settings(), APPLICATION, "stopped", "v", "why", told.append)
    assert told == ["the notification to slack-webhook/district could not be sent (ConnectionError)"]
    monkeypatch.delenv("HOMEROOM_NOTIFY")
    tell(Settings(), APPLICATION, "stopped", "v", "why", told.append)
    assert len(told) == 1


@pytest.mark.slow
def test_a_run_tells_its_outcome_once_and_nothing_when_it_stands_as_before(
    released: Released, tmp_path: Path, block: FakeBlock
) -> None:
    shutil.copytree(released.untouched, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "records" / "releases")
    settings = Settings(store=str(tmp_path / "run"), cache=tmp_path / "cache", keys=released.settings.keys)
    request = released.summary.request
    stopped = replace(request, overrides=(*request.overrides, 'fairness.required=["dialect"]'))
    run_request(stopped, settings)
    run_request(request, settings)
    run_request(request, settings)
    assert [subject.rpartition(": ")[2] for subject, _ in block.sent] == ["stopped", "promoted"]
    assert "dialect is required" in block.sent[0][1]


@pytest.mark.slow
def test_two_releases_side_by_side(
    released: Released, second_release: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, second = second_release
    monkeypatch.setenv("HOMEROOM_STORE", str(store))
    monkeypatch.setenv("HOMEROOM_KEYS", str(released.settings.keys))
    first = released.summary.outcome.release.version
    value = said("diff", first, second)
    assert value["versions"] == [first, second]
    assert value["files"]["model.onnx"] == "changed"
    assert "codec.py" not in value["files"]
    assert value["codec"] == "the same"
    aucs = value["figures"]["auc"]
    assert aucs[0] == released.summary.outcome.evaluation.metrics["auc"] != aucs[1]
    assert value["lineage"]["train"]["config"] == {"max_epochs": [3, 1]}
    assert "ingest" not in value["lineage"]
    same = said("diff", first, first)
    assert (same["files"], same["limits"], same["lineage"]) == ({}, {}, {})
    shown = homeroom("diff", first, second).output
    assert "train: config max_epochs: 3 -> 1" in shown
    assert "model.onnx: changed" in shown


def test_who_waits_for_a_server_that_is_behind_is_told_and_the_promotion_stands(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = release(store, "aa", [PASS])
    url = "http://127.0.0.1:9"
    result = homeroom("promote", made.version, "--wait", url, "--wait-s", "0")
    assert isinstance(result.exception, ServerStartError)
    assert f"{made.version} is not live on all workers after 0 s: the server could not be asked" in str(
        result.exception
    )
    latest = PointerLog(store, APPLICATION).latest()
    assert latest is not None
    assert latest.champion is not None
    assert latest.champion.version == made.version
    worker = {"pid": 1, "release": made.version, "ready": True, "reason": "", "behind": "", "entry": latest.number + 1}
    monkeypatch.setattr(
        "serving.supervise.waiting.version_of", lambda asked: {"workers": [worker] if asked == url else []}
    )
    result = homeroom("promote", made.version, "--wait", url)
    assert result.exit_code == 0
    assert f"{made.version} is live on all workers (1) of {url}" in result.stderr
