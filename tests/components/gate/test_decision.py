"""Findings and decisions: the worst one counts, nothing found is a stop, and what cannot be read is no pass."""

import json
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from components.errors import SchemaError, StoreError
from components.gate.decision import Decision, Finding, Outcome, findings_of, worst_of
from components.gate.override import Override
from components.gate.records import DecisionRecords
from components.store import Store


def finding(outcome: Outcome = "pass", **more: Any) -> Finding:
    given: dict[str, Any] = {"check": "gap", "subject": "gender: F vs M", "measure": "auc", "reason": "because", **more}
    return Finding(outcome=outcome, **given)


OVERRIDE = Override(by="A. Mensah", reason="this term only", until="2027-01-31", given="20261122T100000Z")
DECISION = Decision(
    application="tracing",
    version="tracing-0123456789ab",
    promote=False,
    reason="the gate stops it",
    findings=(finding(), finding("stop", value=0.06, low=0.01, high=0.11, limit=0.05, n=412)),
)


@pytest.mark.parametrize(
    ("outcomes", "worst"),
    [((), "stop"), (("pass",), "pass"), (("pass", "warn"), "warn"), (("stop", "pass", "warn"), "stop")],
)
def test_the_outcome_is_that_of_the_worst_finding_and_nothing_found_is_a_stop(
    outcomes: tuple[Outcome, ...], worst: Outcome
) -> None:
    assert worst_of(finding(o) for o in outcomes) == worst
    assert replace(DECISION, findings=tuple(finding(o) for o in outcomes)).outcome == worst


def test_a_decision_comes_back_from_json_with_every_reason() -> None:
    for decision in (DECISION, replace(DECISION, override=OVERRIDE, champion="tracing-ba9876543210", decided="2026")):
        value = json.loads(json.dumps(decision.to_json(), allow_nan=False))
        again = Decision.from_json(value)
        assert again.findings == (DECISION.findings[1], DECISION.findings[0])  # the worst first
        assert replace(again, findings=decision.findings) == decision
        assert value["outcome"] == "stop"


def test_an_override_lets_a_stopped_release_through_until_its_day_is_over() -> None:
    overridden = replace(DECISION, override=OVERRIDE)
    assert not DECISION.lets_through(date(2027, 1, 1))
    assert overridden.lets_through(date(2027, 1, 31))
    assert not overridden.lets_through(date(2027, 2, 1))
    assert overridden.outcome == "stop"  # what was found stays as it is
    assert not replace(overridden, override=replace(OVERRIDE, until="some day")).lets_through(date(2027, 1, 1))
    assert replace(DECISION, findings=(finding("warn"),)).lets_through(date(2030, 1, 1))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"value": float("nan")}, "value is nan"),
        ({"high": float("inf")}, "high is inf"),
        ({"reason": " "}, "reason is empty"),
        ({"check": "luck"}, "check is 'luck'"),
        ({"outcome": "fine"}, "outcome is 'fine'"),
    ],
)
def test_a_finding_that_makes_no_sense_is_refused(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        replace(finding(), **change)
    with pytest.raises(SchemaError, match="cannot be read"):
        Finding.from_json({**finding().to_json(), **change})


@pytest.mark.parametrize("report", [{}, {"findings": None}, {"findings": "pass"}, {"findings": [{"outcome": "pass"}]}])
def test_a_report_whose_findings_cannot_be_read_is_refused(report: dict[str, Any]) -> None:
    with pytest.raises(SchemaError):
        findings_of(report)


def test_fields_of_a_newer_finding_are_left_out_and_a_newer_decision_is_refused() -> None:
    assert Finding.from_json({**finding().to_json(), "mood": "good"}) == finding()
    with pytest.raises(SchemaError, match="reads formats up to 2"):
        Decision.from_json({**DECISION.to_json(), "format": 3})


def test_decisions_are_kept_in_their_order_and_the_latest_counts(tmp_path: Any) -> None:
    records = DecisionRecords(Store(tmp_path / "store"))
    assert records.latest("tracing", DECISION.version) is None
    first = records.add(DECISION)
    second = records.add(replace(DECISION, override=OVERRIDE))
    assert first.decided < second.decided
    latest = records.latest("tracing", DECISION.version)
    assert latest is not None
    assert latest.override == OVERRIDE
    assert records.latest("tracing", "tracing-ffffffffffff") is None
    assert len(records.times("tracing", DECISION.version)) == 2


def test_a_damaged_record_of_the_latest_decision_is_an_error_and_no_pass(tmp_path: Any) -> None:
    store = Store(tmp_path / "store")
    records = DecisionRecords(store)
    records.add(replace(DECISION, findings=(finding(),)))
    made = records.add(DECISION)
    path = tmp_path / "store" / "records" / "releases" / "tracing" / "decisions" / DECISION.version
    (path / f"{made.decided}.json").write_text('{"format": 1}')
    with pytest.raises(StoreError, match="nobody can say what the gate found"):
        records.latest("tracing", DECISION.version)
