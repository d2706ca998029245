"""What the gate finds of a packaged release: data, parity, golden requests through the service, latency."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from components.artifacts import Artifact
from components.bundle import write_bundle_manifest
from components.deploy.config import DeployConfig
from components.gate.decision import Finding
from components.signing import SigningKey
from components.store import Store
from flows.operations import run_request
from flows.packaged import data_finding, packaged_findings, parity_finding
from flows.pipeline import Outcome
from flows.settings import Settings
from serving.registry import ReleaseRegistry
from tests.conftest import Released

pytestmark = pytest.mark.slow


@dataclass
class Changed:
    """A store whose folders are copies that a test may change."""

    store: Store
    outcome: Outcome
    folders: dict[str, Path]

    def report(self, artifact: Artifact, name: str) -> Any:
        return json.loads((self.folders[artifact.sha256] / name).read_text("utf-8"))

    def write(self, artifact: Artifact, name: str, value: object) -> None:
        (self.folders[artifact.sha256] / name).write_text(json.dumps(value), encoding="utf-8")


@pytest.fixture
def changed(released: Released, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Changed:
    store, outcome = released.settings.open_store(), released.summary.outcome
    folders = {}
    for artifact in (outcome.logs, outcome.onnx, outcome.release):
        folders[artifact.sha256] = Path(shutil.copytree(store.folder(artifact), tmp_path / artifact.sha256))
    monkeypatch.setattr(Store, "folder", lambda _, artifact: folders[artifact.sha256])
    return Changed(store, outcome, folders)


def sign_again(changed: Changed, released: Released) -> None:
    """Make the changed bundle one that its maker signed."""
    folder = changed.folders[changed.outcome.release.sha256]
    (folder / "manifest.json").unlink(missing_ok=True)
    key = released.settings.read_signing_key()
    write_bundle_manifest(folder, "knowledge_tracing", ["probability"], 1e-5, key)


def by_check(released: Released, config: DeployConfig, changed: Changed | None = None) -> dict[str, Finding]:
    store = released.settings.open_store() if changed is None else changed.store
    found = packaged_findings(
        store, released.summary.outcome, signing_key=released.settings.trusted_keys(), config=config
    )
    return {f.check: f for f in found}


def test_a_whole_release_passes_with_its_figures(released: Released) -> None:
    found = by_check(released, DeployConfig(latency_budget_ms=10_000.0))
    assert {check: f.outcome for check, f in found.items()} == dict.fromkeys(
        ("data", "parity", "replay", "latency"), "pass"
    )
    assert (found["data"].value, found["data"].limit) == (0.0, 0.05)
    assert found["parity"].value == released.summary.outcome.onnx.max_abs_error
    assert found["replay"].reason == "the service's routes gave 16 of 16 golden answers"
    assert found["latency"].value is not None
    assert 0 < found["latency"].value < 10_000


def test_the_run_itself_had_them_and_the_decision_was_stored_with_the_entry(released: Released) -> None:
    decision = released.summary.decision
    assert {f.check for f in decision.findings} >= {"data", "parity", "replay", "latency", "level", "non_inferiority"}
    assert decision.by == f"run {released.summary.run}"


def test_a_latency_over_its_budget_stops_and_without_a_budget_it_is_told(released: Released) -> None:
    slow = by_check(released, DeployConfig(latency_budget_ms=1e-6))["latency"]
    assert (slow.outcome, slow.limit) == ("stop", 1e-6)
    assert "allowed are 1e-06 ms" in slow.reason
    told = by_check(released, DeployConfig())["latency"]
    assert (told.outcome, told.limit) == ("pass", None)


def test_without_a_replay_the_gate_warns(released: Released) -> None:
    found = by_check(released, DeployConfig(replay="off"))
    assert (found["replay"].outcome, "latency" in found) == ("warn", False)


@pytest.mark.parametrize(
    ("quarantined", "again", "outcome"), [(50, 0, "pass"), (51, 0, "stop"), (151, 101, "pass"), (1000, 0, "stop")]
)
def test_rows_in_quarantine_count_against_the_limit_of_ingest(
    changed: Changed, quarantined: int, again: int, outcome: str
) -> None:
    report = changed.report(changed.outcome.logs, "report.json")
    rows = 1000 + again
    new = {**report, "rows_in": rows, "rows_quarantined": quarantined, "rows_duplicate": again, "reasons": {"x": 1}}
    changed.write(changed.outcome.logs, "report.json", new)
    assert data_finding(changed.store, changed.outcome).outcome == outcome


def test_a_source_without_rows_is_no_pass(changed: Changed) -> None:
    changed.write(changed.outcome.logs, "report.json", {"rows_in": 0, "rows_quarantined": 0, "reasons": {}})
    assert data_finding(changed.store, changed.outcome).outcome == "stop"


@pytest.mark.parametrize("errors", [[], [2e-5], [1e-7, float("nan")], [1e-7, 1.0]])
def test_a_model_that_differs_from_torch_is_stopped(changed: Changed, errors: list[float]) -> None:
    checks = [{"inputs": "made up", "batch": 1, "steps": 1, "max_abs_error": error} for error in errors]
    changed.write(changed.outcome.onnx, "parity.json", {"tolerance": 1e-5, "checks": checks})
    assert parity_finding(changed.store, changed.outcome).outcome == "stop"


def test_other_golden_answers_stop_it(changed: Changed, released: Released) -> None:
    golden = changed.report(changed.outcome.release, "golden.json")
    golden["answers"][3]["predictions"][0]["probability"] += 0.01
    changed.write(changed.outcome.release, "golden.json", golden)
    sign_again(changed, released)
    found = by_check(released, DeployConfig(), changed)
    # the service itself gives the golden answers before it is ready, and so answers nobody
    assert found["replay"].outcome == "stop"
    assert "gave 0 of 16 golden answers; golden request 0 was answered with status 503" in found["replay"].reason


@pytest.mark.parametrize(
    ("damage", "subject"),
    [
        (lambda c: c.write(c.outcome.logs, "report.json", {}), "ingest"),
        (lambda c: c.write(c.outcome.onnx, "parity.json", []), "export"),
        (lambda c: c.write(c.outcome.release, "golden.json", {}), "replay"),
        (lambda c: (c.folders[c.outcome.release.sha256] / "model.onnx").unlink(), "replay"),
    ],
)
def test_what_cannot_be_judged_stops(
    changed: Changed, released: Released, damage: Callable[[Changed], None], subject: str
) -> None:
    damage(changed)
    found = packaged_findings(
        changed.store, changed.outcome, signing_key=released.settings.trusted_keys(), config=DeployConfig()
    )
    assert [(f.check, f.outcome) for f in found if f.subject == subject] == [("error", "stop")]


def test_a_release_that_another_key_signed_is_not_even_asked(released: Released) -> None:
    found = packaged_findings(
        released.settings.open_store(),
        released.summary.outcome,
        signing_key=SigningKey(bytes(32)),
        config=DeployConfig(),
    )
    (error,) = (f for f in found if f.check == "error")
    assert "does not fit key" in error.reason


@pytest.mark.e2e
@pytest.mark.multiprocess
def test_a_whole_server_is_started_from_the_release_and_asked(released: Released) -> None:
    found = by_check(released, DeployConfig(replay="service"))
    assert (found["replay"].outcome, found["latency"].outcome) == ("pass", "pass")
    assert found["replay"].reason == "a server started from the release gave 16 of 16 golden answers"


def test_a_run_that_needs_approval_ends_waiting_and_a_second_one_leaves_it_as_it_is(
    released: Released, tmp_path: Path
) -> None:
    shutil.copytree(released.untouched, tmp_path / "store")
    shutil.rmtree(tmp_path / "store" / "records" / "releases")
    settings = Settings(store=str(tmp_path / "store"), cache=tmp_path / "cache", keys=released.settings.keys)
    request = released.summary.request
    request = replace(request, overrides=(*request.overrides, "deploy.approvals=2", "deploy.approval_days=7"))
    first = run_request(request, settings)
    assert (first.decision.status, first.decision.needs) == ("waits for approval", 2)
    assert first.to_json()["release"]["status"] == "waits for approval"
    assert first.decision.reason.startswith("it waits for the approval of 2 people until ")
    assert ReleaseRegistry(settings.open_store()).current("knowledge_tracing") is None
    again = run_request(request, settings)
    assert again.decision.digest == first.decision.digest  # what people have before them stays
