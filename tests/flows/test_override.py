"""Letting a stopped release through by hand: a name, a reason and a day; what happens when the day is over."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from components.artifacts import Lineage, Ref, Release
from components.errors import ConfigError, GateStoppedError, SchemaError, StoreError
from components.gate.decision import Decision, Finding
from components.gate.override import Override, today_utc
from components.gate.records import DecisionRecords
from components.store import Store
from flows import promotion
from flows.__main__ import cli
from flows.checks import check_overrides
from flows.cli.releases import releases
from flows.judging import judged_by_itself
from flows.promotion import promote_by_hand, put_beside, roll_back
from flows.settings import Settings
from serving.registry import ReleaseRegistry

APPLICATION = "knowledge_tracing"
PENDING = Ref(uri="", sha256="", bytes=0, media_type="")
STOP = Finding(check="gap", subject="gender: F vs M", measure="auc", outcome="stop", reason="auc is 0.080 higher for F")
WARN = Finding(check="groups", subject="all", measure="", outcome="warn", reason="nothing was judged by group")
PASS = Finding(check="level", subject="all", measure="auc", outcome="pass", reason="auc is 0.7500")
OVERRIDE = Override(by="A. Mensah", reason="this term only", until="2999-12-31", given="20261122T100000Z")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("HOMEROOM_STORE", str(tmp_path / "store"))
    return Settings().open_store()


def release(
    store: Store, digits: str, findings: Sequence[Finding] | None = None, *, verdict: str = "pass", decided: bool = True
) -> Release:
    """Publish a release whose report on groups has these findings, and record the gate's decision on it."""
    version = f"{APPLICATION}-{digits.ljust(12, '0')}"
    draft = Release(ref=PENDING, lineage=Lineage(), application=APPLICATION, version=version, verdict=verdict)
    with store.scratch() as folder:
        report: dict[str, Any] = {} if findings is None else {"findings": [f.to_json() for f in findings]}
        (folder / "fairness.json").write_text(json.dumps(report))
        (folder / "metrics.json").write_text(json.dumps({} if findings is None else {"findings": [PASS.to_json()]}))
        (folder / "bundle.json").write_text(version)
        found = store.publish(draft, folder)
    ReleaseRegistry(store).register(found)
    if decided and findings is not None:
        decision = Decision(
            application=APPLICATION, version=version, promote=False, reason="the gate", findings=tuple(findings)
        )
        DecisionRecords(store).add(decision)
    return found


def homeroom(*arguments: str) -> Result:
    return CliRunner().invoke(releases, [APPLICATION, *arguments])


def test_a_stopped_release_is_refused_with_its_reasons_and_stays_out(store: Store) -> None:
    stopped = release(store, "aa", [PASS, STOP])
    with pytest.raises(GateStoppedError, match=r"auc is 0.080 higher for F.*--override-by NAME"):
        promote_by_hand(store, stopped, "I like it")
    assert ReleaseRegistry(store).current(APPLICATION) is None


def test_an_override_lets_it_through_is_recorded_and_travels_with_the_release(store: Store) -> None:
    stopped = release(store, "aa", [PASS, STOP])
    promote_by_hand(store, stopped, "this term only", OVERRIDE)
    current = ReleaseRegistry(store).current(APPLICATION)
    assert current is not None
    assert (current.version, current.override) == (stopped.version, OVERRIDE)
    latest = DecisionRecords(store).latest(APPLICATION, stopped.version)
    assert latest is not None
    assert (latest.outcome, latest.promote, latest.override) == ("stop", True, OVERRIDE)
    assert len(DecisionRecords(store).times(APPLICATION, stopped.version)) == 2
    promote_by_hand(store, stopped, "again, while it counts")


def expire(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promotion, "today_utc", lambda: date(3000, 1, 1))


def test_an_expired_override_lets_nothing_through_and_a_new_one_does(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = release(store, "aa", [STOP])
    promote_by_hand(store, stopped, "this term only", OVERRIDE)
    expire(monkeypatch)
    with pytest.raises(GateStoppedError, match=r"override by A\. Mensah EXPIRED on 2999-12-31"):
        promote_by_hand(store, stopped, "once more")
    current = ReleaseRegistry(store).current(APPLICATION)
    assert current is not None  # what serves is not taken down by itself
    assert current.version == stopped.version
    promote_by_hand(store, stopped, "next term", replace(OVERRIDE, until="3000-06-30", reason="next term"))
    current = ReleaseRegistry(store).current(APPLICATION)
    assert current is not None
    assert current.override is not None
    assert current.override.until == "3000-06-30"


def test_going_back_to_a_release_whose_override_expired_is_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped, good = release(store, "aa", [STOP]), release(store, "bb", [PASS])
    promote_by_hand(store, stopped, "this term only", OVERRIDE)
    promote_by_hand(store, good, "better")
    roll_back(store, APPLICATION, "while it counts")
    back = ReleaseRegistry(store).current(APPLICATION)
    assert back is not None
    assert (back.version, back.override) == (stopped.version, OVERRIDE)
    promote_by_hand(store, good, "better")
    expire(monkeypatch)
    with pytest.raises(GateStoppedError, match="EXPIRED"):
        roll_back(store, APPLICATION, "bad answers")
    roll_back(store, APPLICATION, "bad answers", None, replace(OVERRIDE, until="3000-06-30"))
    back = ReleaseRegistry(store).current(APPLICATION)
    assert back is not None
    assert back.version == stopped.version


LATER = Finding(check="leakage", subject="all", measure="students", outcome="stop", reason="9 students are in both")


def test_an_override_covers_what_its_author_saw_and_no_later_stop(store: Store) -> None:
    stopped = release(store, "aa", [PASS, STOP])
    first = promote_by_hand(store, stopped, "this term only", OVERRIDE)
    promote_by_hand(store, release(store, "bb", [PASS]), "something else for a while")
    records, day = DecisionRecords(store), date(2026, 12, 1)
    assert first.lets_through(day)
    assert records.latest(APPLICATION, stopped.version) == first
    wider = replace(STOP, value=0.09, reason="auc is 0.090 higher for F than for M, the limit is 0.05")
    assert replace(first, findings=(PASS, wider)).lets_through(day)  # the same stop, whatever its figure
    found = records.add(replace(first, findings=(PASS, STOP, LATER)))  # as a later run would
    assert not found.lets_through(day)
    with pytest.raises(GateStoppedError, match=r"it was given for less\): 9 students are in both\. ") as told:
        roll_back(store, APPLICATION, "back", stopped.version)
    assert "0.080 higher" not in str(told.value)  # that was accepted
    roll_back(store, APPLICATION, "back", stopped.version, OVERRIDE)
    assert records.latest(APPLICATION, stopped.version).lets_through(day)  # type: ignore[union-attr]  # there is one


def test_worse_than_another_champion_is_another_stop() -> None:
    worse = Finding(check="non_inferiority", subject="all", measure="auc", outcome="stop", reason="worse: ...")
    decision = Decision(
        application=APPLICATION,
        version="x",
        promote=True,
        reason="",
        findings=(worse,),
        champion="a",
        override=OVERRIDE,
    )
    given = replace(decision, covered=decision.stops())
    assert given.lets_through(date(2026, 12, 1))
    assert not replace(given, champion="b").lets_through(date(2026, 12, 1))


def test_an_override_of_before_covers_what_was_recorded_with_it(store: Store) -> None:
    stopped = release(store, "aa", [PASS, STOP])
    value = promote_by_hand(store, stopped, "this term only", OVERRIDE).to_json()
    value.pop("covered")
    older = Decision.from_json(value)
    assert older.covered is None
    assert older.lets_through(date(2026, 12, 1))
    with pytest.raises(SchemaError, match="covered is no list of texts"):
        Decision.from_json({**value, "covered": "all"})


def test_a_clock_that_is_set_back_makes_no_override_count_again(store: Store) -> None:
    stopped = release(store, "aa", [PASS, STOP])
    today = today_utc()
    promote_by_hand(store, stopped, "today only", replace(OVERRIDE, until=today.isoformat()))
    promote_by_hand(store, release(store, "bb", [PASS]), "something else")
    roll_back(store, APPLICATION, "it counts today", stopped.version)
    promote_by_hand(store, release(store, "cc", [PASS]), "something else")
    other = DecisionRecords(store).latest(APPLICATION, f"{APPLICATION}-cc0000000000")
    assert other is not None
    stamp = f"{today + timedelta(days=3):%Y%m%d}T100000.000000Z"  # decided by a clock that was right
    store.write_record(f"releases/{APPLICATION}/decisions/{other.version}/{stamp}.json", other.to_json())
    with pytest.raises(GateStoppedError, match=f"EXPIRED on {today}"):
        roll_back(store, APPLICATION, "and not with the clock set back", stopped.version)
    with pytest.raises(ConfigError, match=rf"is recorded for {today + timedelta(days=3)}, later than this machine's"):
        roll_back(store, APPLICATION, "now", stopped.version, replace(OVERRIDE, until=today.isoformat()))


def test_what_the_gate_does_not_stop_needs_no_override_and_takes_none(store: Store) -> None:
    warned = release(store, "aa", [WARN])
    with pytest.raises(ConfigError, match="there is nothing to override"):
        promote_by_hand(store, warned, "to be sure", OVERRIDE)
    assert promote_by_hand(store, warned, "the council approved it").promote


def test_a_release_that_no_run_decided_on_is_judged_by_the_findings_that_it_carries(store: Store) -> None:
    with pytest.raises(GateStoppedError, match=r"auc is 0\.080 higher"):
        promote_by_hand(store, release(store, "aa", [STOP], decided=False), "by hand")
    decision = promote_by_hand(store, release(store, "bb", [PASS], decided=False), "by hand")
    assert decision.outcome == "warn"  # it was not compared with what serves
    empty = judged_by_itself(store, release(store, "cc", [], decided=False))
    assert empty.outcome == "stop"
    assert empty.reasons("stop") == ["fairness.json: it has no findings, so nothing was judged"]


def rewritten(store: Store, draft: Release, reports: Mapping[str, Any], config: Mapping[str, Any]) -> Release:
    """Publish a release with these reports, made with this configuration."""
    with store.scratch() as folder:
        for name, report in reports.items():
            (folder / name).write_text(json.dumps(report))
        (folder / "bundle.json").write_text(json.dumps([*reports.values()]))
        return store.publish(replace(draft, ref=PENDING, lineage=Lineage(config=config)), folder)


def known_by_its_stage(store: Store, found: Release) -> Release:
    """Leave of a release what a run leaves that was killed before it decided: the record of the stage alone."""
    store.write_record(f"stages/{APPLICATION}/deploy/{found.sha256}.json", {"artifact": {**found.to_json()}})
    return ReleaseRegistry(store).find(found.version)


@pytest.mark.parametrize("approvals", [1, 2, "two"])
def test_a_release_that_no_run_decided_on_waits_for_the_approvals_that_it_was_made_with(
    store: Store, approvals: int | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOMEROOM_KEYS", str(Path(Settings().store) / "keys"))
    promote_by_hand(store, release(store, "bb", [PASS]), "something that serves")
    passed = {"findings": [PASS.to_json()]}
    draft = Release(
        ref=PENDING, lineage=Lineage(), application=APPLICATION, version=f"{APPLICATION}-aa0000000000", verdict="pass"
    )
    reports = {"metrics.json": passed, "fairness.json": passed}
    found = known_by_its_stage(store, rewritten(store, draft, reports, {"approvals": approvals}))
    needs = 2 if approvals == "two" else approvals
    said = rf"needs the approval of {needs} .* has 0: .*, once `homeroom promote {found.version}` has let it wait"
    with pytest.raises(GateStoppedError, match=said):
        put_beside(store, found, "a few", 10)
    with pytest.raises(GateStoppedError, match=said):
        roll_back(store, APPLICATION, "to what never served", found.version)
    decision = promote_by_hand(store, found, "in a hurry", by="eve")
    assert (decision.status, decision.needs, decision.by) == ("waits for approval", needs, "eve")
    assert decision.until == (today_utc() + timedelta(days=14)).isoformat()
    with pytest.raises(GateStoppedError, match=f"needs the approval of {needs} .* until {decision.until}"):
        promote_by_hand(store, found, "in a hurry", by="eve")
    state = ReleaseRegistry(store).log(APPLICATION).latest()
    assert state is not None
    assert (state.number, state.challenger) == (1, None)
    for name in ("anna", "ben")[: 1 if needs == 1 else 2]:
        for words in (("approvers", "add", name), ("approve", "aa", "--by", name, "--reason", "fine")):
            result = CliRunner().invoke(cli, words)
            assert result.exit_code == 0, (result.output, result.exception)
    current = ReleaseRegistry(store).current(APPLICATION)
    assert current is not None
    assert current.version == found.version


def test_a_release_that_served_and_whose_decision_is_gone_needs_no_approval_again(store: Store) -> None:
    passed = {"findings": [PASS.to_json()]}
    draft = release(store, "aa", [PASS], decided=False)
    found = rewritten(store, draft, {"metrics.json": passed, "fairness.json": passed}, {"approvals": 2})
    ReleaseRegistry(store).promote(found, "its people approved it")
    promote_by_hand(store, release(store, "bb", [PASS]), "another")
    assert promote_by_hand(store, found, "again").status == "promoted"


def test_what_the_leakage_stage_found_is_known_of_a_release_that_no_run_decided_on(store: Store) -> None:
    draft = release(store, "aa", [PASS], decided=False)
    passed = {"findings": [PASS.to_json()]}
    leak = Finding(check="leakage", subject="all", measure="students", outcome="stop", reason="9 students are in both")
    reports = {"metrics.json": passed, "fairness.json": passed, "leakage.json": {"findings": [leak.to_json()]}}
    found = rewritten(store, draft, reports, {})
    assert judged_by_itself(store, found).reasons("stop") == ["9 students are in both"]
    with pytest.raises(GateStoppedError, match="9 students are in both"):
        promote_by_hand(store, found, "by hand")
    older = rewritten(store, draft, {name: one for name, one in reports.items() if name != "leakage.json"}, {})
    assert judged_by_itself(store, older).outcome == "warn"  # as ever: it was not compared


USELESS = "The model is useless: it gives every answer the same probability."


@pytest.mark.parametrize(
    ("config", "sentence", "outcome"),
    [
        ({"useless": "stop"}, USELESS, "stop"),
        ({"useless": "warn"}, USELESS, "warn"),
        ({}, USELESS, "warn"),  # of before there was the setting
        ({"useless": "stop"}, "The model is useless at the threshold 0.5: balanced accuracy 0.500.", "warn"),
    ],
)
def test_a_useless_model_follows_the_setting_that_its_release_was_made_with(
    store: Store, config: dict[str, Any], sentence: str, outcome: str
) -> None:
    draft = release(store, "aa", [PASS], decided=False)
    said = Finding(check="level", subject="all", measure="", outcome="warn", reason=sentence)
    reports = {
        "metrics.json": {"findings": [PASS.to_json()], "useless": sentence},
        "fairness.json": {"findings": [PASS.to_json(), said.to_json()], "useless": sentence},
    }
    decision = judged_by_itself(store, rewritten(store, draft, reports, config))
    assert [f.outcome for f in decision.findings if f.reason == sentence] == [outcome]
    assert decision.outcome == outcome


@pytest.mark.parametrize("lacking", ["fairness.json", "metrics.json"])
@pytest.mark.parametrize("left", [None, {}, {"verdict": "pass"}])
def test_a_report_without_findings_beside_one_with_them_is_a_stop(
    store: Store, lacking: str, left: dict[str, str] | None, tmp_path: Path
) -> None:
    draft = release(store, "aa", [PASS], decided=False)
    with store.scratch() as folder:
        for name in ("fairness.json", "metrics.json"):
            (folder / name).write_text(json.dumps({"findings": [PASS.to_json()]}))
        (folder / lacking).unlink()
        if left is not None:
            (folder / lacking).write_text(json.dumps(left))
        found = store.publish(replace(draft, ref=PENDING), folder)
    assert judged_by_itself(store, found).reasons("stop") == [
        f"{lacking}: it is missing or has no list of findings, unlike the other reports"
    ]


def test_going_back_to_an_older_release_that_never_served_asks_for_its_verdict(store: Store) -> None:
    good = release(store, "aa", [PASS])
    promote_by_hand(store, good, "first")
    failed = release(store, "bb", None, verdict="fail")
    with pytest.raises(GateStoppedError, match="its verdict on groups is fail"):
        roll_back(store, APPLICATION, "try it", failed.version)
    current = ReleaseRegistry(store).current(APPLICATION)
    assert current is not None
    assert current.version == good.version


@pytest.mark.parametrize(
    ("verdict", "outcome"), [("pass", "warn"), ("not_estimable", "warn"), ("no_groups", "warn"), ("fail", "stop")]
)
def test_an_older_release_without_findings_has_its_verdict(store: Store, verdict: str, outcome: str) -> None:
    older = release(store, "aa", None, verdict=verdict)
    decision = judged_by_itself(store, older)
    assert decision.outcome == outcome
    assert any(verdict in reason for reason in decision.reasons(decision.outcome))
    ReleaseRegistry(store).promote(older, "of an older homeroom")
    ReleaseRegistry(store).promote(release(store, "bb", [PASS]), "newer")
    assert roll_back(store, APPLICATION, "going back is never refused to a release that was never judged") is None


def test_a_decision_that_cannot_be_read_lets_nothing_through(store: Store) -> None:
    good = release(store, "aa", [PASS])
    time = DecisionRecords(store).times(APPLICATION, good.version)[-1]
    store.write_record(f"releases/{APPLICATION}/decisions/{good.version}/{time}.json", {"format": 1})
    with pytest.raises(StoreError, match="nobody can say what the gate found"):
        promote_by_hand(store, good, "surely")


def test_the_command_shows_a_decision_in_words_and_as_json(store: Store) -> None:
    stopped = release(store, "aa", [PASS, WARN, STOP])
    told = homeroom("--decision", "aa")
    assert told.exit_code == 0, told.output
    assert told.output.splitlines()[0].startswith(f"{stopped.version}: stop on ")
    assert told.output.index("auc is 0.080 higher") < told.output.index("nothing was judged by group")
    value = json.loads(homeroom("--decision", "aa", "--json").output)
    assert value["outcome"] == "stop"
    assert [f["outcome"] for f in value["findings"]] == ["stop", "warn", "pass"]


def test_the_command_takes_an_override_and_lists_it(store: Store) -> None:
    release(store, "aa", [STOP])
    until = today_utc().isoformat()
    assert isinstance(homeroom("--promote", "aa").exception, GateStoppedError)
    incomplete = homeroom("--promote", "aa", "--override-by", "A. Mensah")
    assert isinstance(incomplete.exception, ConfigError)
    assert "--until is None" in str(incomplete.exception)
    done = homeroom("--promote", "aa", "--override-by", "A. Mensah", "--reason", "this term", "--until", until)
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-1] == f"  override by A. Mensah until {until}: this term"
    for wrong in (("--until", until), ("--to", "aa"), ("--promote", "aa", "--decision", "aa")):
        assert homeroom(*wrong).exit_code == 2


def test_doctor_fails_when_an_override_has_expired(store: Store) -> None:
    stopped = release(store, "aa", [STOP])
    assert check_overrides(Settings()).ok
    ReleaseRegistry(store).promote(stopped, "let through", override=OVERRIDE)
    assert check_overrides(Settings()).ok
    ReleaseRegistry(store).promote(stopped, "long ago", override=replace(OVERRIDE, until="2020-01-31"))
    check = check_overrides(Settings())
    assert not check.ok
    assert "EXPIRED on 2020-01-31" in check.finding
