"""Which release serves: the same students for both, no return by itself, no failure without a champion."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components._testing.kills import die_at_write
from components.app import load_application
from components.artifacts import Artifact
from components.deploy.config import DeployConfig
from components.errors import StoreError
from components.gate.decision import Decision, Finding, worst_first
from components.gate.records import DecisionRecords
from components.store import Store
from flows import promotion
from flows.judging import findings_on, reports_of
from flows.operations import run_request
from flows.pipeline import Outcome
from flows.promotion import promote_if_better
from flows.request import RunRequest
from flows.settings import Settings
from serving.registry import ReleaseRegistry
from tests.conftest import Released

TOLERANT = ("deploy.max_auc_drop=0.5", "deploy.max_worst_group_auc_drop=0.5", "deploy.compare_resamples=50")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def places(released: Released, tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, RunRequest]:
    """Copy the finished run's store, and add a release that is a little better or worse."""
    home = tmp_path_factory.mktemp("promotion")
    shutil.copytree(released.settings.store, home / "store")
    settings = Settings(store=str(home / "store"), cache=home / "cache", keys=released.settings.keys)
    request = released.summary.request
    other = RunRequest(
        application=request.application,
        data=request.data,
        overrides=(*request.overrides, "train.seed=7", *TOLERANT),
    )
    return settings, other


def test_another_release_takes_over_and_a_rollback_lasts(
    released: Released, places: tuple[Settings, RunRequest]
) -> None:
    settings, other = places
    registry = ReleaseRegistry(settings.open_store())
    first = released.summary.outcome.release.version
    second = run_request(other, settings)
    assert second.decision.promote
    assert "not worse: auc 0." in second.decision.reason
    registry.rollback("knowledge_tracing", "it annoys the teachers")
    again = run_request(other, settings)  # as next week's run would, with nothing new
    assert not again.decision.promote
    assert "it served before and was replaced" in again.decision.reason
    current = registry.current("knowledge_tracing")
    assert current is not None
    assert current.version == first


def test_a_champion_that_is_gone_does_not_stop_a_run(
    released: Released, places: tuple[Settings, RunRequest], tmp_path: Path
) -> None:
    settings, other = places
    outcome = run_request(other, settings).outcome
    store = tmp_path / "store"
    shutil.copytree(settings.store, store)
    copied = Settings(store=str(store), cache=tmp_path / "cache", keys=settings.keys)
    champion = released.summary.outcome.release
    shutil.rmtree(store / "records" / "releases" / "knowledge_tracing" / "log")  # as if the other had never served
    ReleaseRegistry(copied.open_store()).promote(champion, "for this test")
    shutil.rmtree(store / "artifacts" / champion.sha256)
    decision = promote_if_better(
        copied.open_store(),
        load_application("knowledge_tracing"),
        outcome,
        signing_key=copied.read_signing_key(),
        config=DeployConfig(max_auc_drop=0.0, compare_resamples=50, replay="off"),
    )
    assert decision.promote
    assert decision.reason.startswith("the champion cannot serve any more (ArtifactMissingError)")
    assert decision.outcome == "warn"


def test_an_error_that_may_pass_puts_no_other_release_in_its_place(
    released: Released, places: tuple[Settings, RunRequest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, other = places
    outcome = run_request(other, settings).outcome
    shutil.copytree(settings.store, tmp_path / "store")
    copied = Settings(store=str(tmp_path / "store"), cache=tmp_path / "cache", keys=settings.keys)
    champion = released.summary.outcome.release
    folder_of = Store.folder
    registry = ReleaseRegistry(copied.open_store())
    log = tmp_path / "store" / "records" / "releases" / "knowledge_tracing" / "log"
    shutil.rmtree(log)  # as if the other had never served
    registry.promote(champion, "for this test")

    def decide() -> Decision:
        return promote_if_better(
            copied.open_store(),
            load_application("knowledge_tracing"),
            outcome,
            signing_key=copied.read_signing_key(),
            config=DeployConfig(max_auc_drop=0.0, compare_resamples=50, replay="off"),
        )

    def unreachable(store: Store, artifact: Artifact) -> Path:
        if artifact == champion:
            raise StoreError("503")
        return folder_of(store, artifact)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "folder", unreachable)
        decision = decide()
    assert not decision.promote
    assert "could not be compared with the current release (StoreError); the next run tries again" in decision.reason
    assert registry.find(outcome.release.version) == outcome.release  # it is registered

    registry.promote(champion, "once more")
    before = len(registry.history("knowledge_tracing"))
    (log / "00000002.json").write_bytes(b"")
    decision = decide()
    assert not decision.promote
    assert "00000002.json" in decision.reason
    assert "is damaged (it is no JSON), so nobody can say which release serves" in decision.reason
    with pytest.raises(StoreError, match="is damaged"):
        registry.history("knowledge_tracing")
    registry.promote(champion, "said anew")  # what the message advises
    assert len(registry.history("knowledge_tracing")) == before  # without the damaged one


@pytest.mark.multiprocess
def test_a_promotion_killed_at_any_write_is_made_by_the_next_run(released: Released, tmp_path: Path) -> None:
    """As a first release, which compares nothing: what compares works in threads, and does not live through a fork."""
    store = Settings(store=str(tmp_path / "store"), cache=tmp_path / "cache", keys=released.settings.keys).open_store()
    outcome = released.summary.outcome
    for artifact in (outcome.release, outcome.logs, outcome.onnx, *reports_of(outcome).values()):
        folder = Path("artifacts") / artifact.sha256
        shutil.copytree(Path(released.settings.store) / folder, tmp_path / "store" / folder)
    number = 0
    while True:
        shutil.rmtree(tmp_path / "store" / "records", ignore_errors=True)

        def promote() -> Decision:
            return promote_if_better(
                store,
                load_application("knowledge_tracing"),
                outcome,
                signing_key=released.settings.read_signing_key(),
                config=DeployConfig(max_auc_drop=0.0, compare_resamples=50, replay="off"),
            )

        killed = die_at_write(promote, number)
        assert promote().promote
        current, history = ReleaseRegistry(store).current("knowledge_tracing"), ReleaseRegistry(store)
        assert current is not None
        assert current.version == outcome.release.version
        assert history.history("knowledge_tracing") == [current]
        if not killed:
            break
        number += 1
    assert number == 4  # known, decision, known, entry of the log


def test_a_champion_that_changes_while_a_run_decides_makes_it_decide_again(
    released: Released, second_release: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where another machine promotes meanwhile, which no lock of this one holds off."""
    shutil.copytree(second_release[0], tmp_path / "store")
    shutil.rmtree(tmp_path / "store" / "records" / "releases" / "knowledge_tracing" / "log")
    settings = Settings(store=str(tmp_path / "store"), cache=tmp_path / "cache", keys=released.settings.keys)
    store, outcome = settings.open_store(), released.summary.outcome
    registry = ReleaseRegistry(store)
    beside, champions = promotion._beside, list[str | None]()

    def meanwhile(*args: Any) -> list[Finding]:
        champions.append(None if args[3] is None else args[3].version)
        if len(champions) == 1:
            registry.promote(registry.find(second_release[1]), "quicker", by="maria")
        return beside(*args)

    monkeypatch.setattr(promotion, "_beside", meanwhile)
    decision = promote_if_better(
        store,
        load_application("knowledge_tracing"),
        outcome,
        signing_key=settings.trusted_keys(),
        config=DeployConfig(max_auc_drop=0.5, max_worst_group_auc_drop=0.5, compare_resamples=50, replay="off"),
        by="run 7",
    )
    assert champions == [None, second_release[1]]
    assert (decision.promote, decision.champion) == (True, second_release[1])
    entries = registry.history("knowledge_tracing")
    assert [(one.by, one.version) for one in entries] == [
        ("maria", second_release[1]),
        ("run 7", outcome.release.version),
    ]
    assert entries[1].decision == decision.digest


def checks_of(findings: tuple[Finding, ...], outcome: str) -> list[tuple[str, str]]:
    return [(f.check, f.subject) for f in findings if f.outcome == outcome]


def test_every_run_leaves_a_decision_with_reasons_beside_the_release_and_in_its_summary(released: Released) -> None:
    decision, store = released.summary.decision, released.settings.open_store()
    assert decision.promote
    assert decision.reason.startswith("nothing serves yet; the gate says ")
    records = DecisionRecords(store)
    first = records.times("knowledge_tracing", decision.version)[0]
    path = f"releases/knowledge_tracing/decisions/{decision.version}/{first}.json"
    assert Decision.from_json(store.read_record(path)).findings == tuple(worst_first(decision.findings))
    gate = released.summary.to_json()["gate"]
    assert gate["outcome"] == decision.outcome
    assert {f["check"] for f in gate["findings"]} >= {"level", "gap", "freshness", "non_inferiority"}
    assert gate["override"] is None


def test_reports_of_another_model_or_other_data_are_stale_and_stop(
    released: Released, places: tuple[Settings, RunRequest]
) -> None:
    settings, other = places
    store, mine, theirs = settings.open_store(), released.summary.outcome, run_request(other, settings).outcome
    assert theirs.checkpoint.sha256 != mine.checkpoint.sha256
    assert not checks_of(findings_on(store, mine), "stop")
    mixed = {
        "evaluation of another model": replace(mine, evaluation=theirs.evaluation),
        "groups of another evaluation": replace(mine, fairness=theirs.fairness),
        "model of another training": replace(mine, onnx=theirs.onnx),
        "release of another run": replace(mine, release=theirs.release),
    }
    for name, outcome in mixed.items():
        assert "freshness" in {check for check, _ in checks_of(findings_on(store, outcome), "stop")}, name


def test_a_report_that_is_gone_damaged_or_of_an_older_homeroom_stops(released: Released, tmp_path: Path) -> None:
    outcome = released.summary.outcome
    shutil.copytree(released.untouched, tmp_path / "store")
    path = tmp_path / "store" / "artifacts" / outcome.fairness.sha256 / "groups.json"
    report = json.loads(path.read_text())

    def stops() -> list[tuple[str, str]]:
        store = Store(tmp_path / "store", cache=tmp_path / "cache")
        return checks_of(findings_on(store, outcome), "stop")

    assert stops() == []
    for damaged in ("{", "[]", json.dumps({**report, "findings": []}), json.dumps({"verdict": "pass"})):
        path.write_text(damaged)
        assert ("error", "fairness") in stops()
    path.unlink()
    assert ("error", "fairness") in stops()


def test_a_release_that_the_gate_stops_is_not_promoted_though_nothing_serves(
    released: Released, places: tuple[Settings, RunRequest], tmp_path: Path
) -> None:
    settings = Settings(store=str(tmp_path / "store"), cache=tmp_path / "cache", keys=places[0].keys)
    shutil.copytree(released.untouched, tmp_path / "store")
    shutil.rmtree(tmp_path / "store" / "records" / "releases")
    request = released.summary.request
    missing = ('fairness.required=["dialect"]',)
    summary = run_request(replace(request, overrides=(*request.overrides, *missing)), settings)
    assert not summary.decision.promote
    assert summary.decision.outcome == "stop"
    assert summary.decision.reason == ("the gate stops it: dialect is required, and the data have no such attribute")
    assert ReleaseRegistry(settings.open_store()).current("knowledge_tracing") is None
    assert summary.outcome.fairness.verdict == "fail"


def test_both_releases_are_compared_on_the_same_students_with_an_interval_and_by_worst_group(
    released: Released, places: tuple[Settings, RunRequest]
) -> None:
    settings, other = places
    latest = DecisionRecords(settings.open_store()).latest("knowledge_tracing", other_version(settings, other))
    assert latest is not None
    assert latest.champion == released.summary.outcome.release.version
    overall, worst = (f for f in latest.findings if f.check == "non_inferiority")
    assert (overall.subject, worst.subject) == ("all", "worst group")
    for finding in (overall, worst):
        assert finding.value is not None
        assert finding.low is not None
        assert finding.high is not None
        assert finding.low < finding.value < finding.high
        assert finding.outcome == "pass"  # a tolerance of .5
    evaluations = {r.evaluation.sha256: r.evaluation.metrics["auc"] for r in (run_request(other, settings).outcome,)}
    assert any(f"auc {value:.4f}" in overall.reason for value in evaluations.values())


def test_a_damaged_decision_is_made_again_by_the_next_run(released: Released, tmp_path: Path) -> None:
    shutil.copytree(released.untouched, tmp_path / "store")
    settings = Settings(store=str(tmp_path / "store"), cache=tmp_path / "cache", keys=released.settings.keys)
    store, version = settings.open_store(), released.summary.outcome.release.version
    records = DecisionRecords(store)
    (time,) = records.times("knowledge_tracing", version)
    store.write_record(f"releases/knowledge_tracing/decisions/{version}/{time}.json", {"format": 1})
    with pytest.raises(StoreError, match="decided on again by a run"):
        records.latest("knowledge_tracing", version)
    again = run_request(released.summary.request, settings)
    assert again.decision.promote  # it serves
    latest = records.latest("knowledge_tracing", version)
    assert latest is not None
    assert worst_first(latest.findings) == worst_first(again.decision.findings)


def other_version(settings: Settings, request: RunRequest) -> str:
    outcome: Outcome = run_request(request, settings).outcome
    return outcome.release.version
