"""Options of a run that change where or how: S3, two processes, 8-bit export."""

import json
import uuid
from pathlib import Path

import fsspec
import pytest

from components.errors import ExportError
from components.stage import StageEvent
from components.testing import S3Server
from flows.operations import run_request
from flows.releases import find_release
from flows.request import RunRequest
from flows.settings import Settings
from flows.stages import collect, export, ingest, open_application, preprocess, train
from flows.summary import RunSummary
from serving.bundle import load_bundle
from serving.health import golden_problems
from tests.conftest import Released

pytestmark = [pytest.mark.slow, pytest.mark.e2e]


@pytest.fixture
def bucket(s3_environment: S3Server) -> str:
    """Return the URL of an empty bucket."""
    name = f"district-{uuid.uuid4().hex[:8]}"
    s3_environment.make_bucket(name)
    return f"s3://{name}"


@pytest.mark.soak
def test_logs_and_store_on_s3(released: Released, bucket: str, tmp_path: Path) -> None:
    fsspec.filesystem("s3", skip_instance_cache=True).put_file(str(released.logs), f"{bucket}/logs/answers.parquet")
    request = RunRequest(
        application="knowledge_tracing",
        data=(f"{bucket}/logs",),
        # the fairness limits of `released`: after one epoch, chance alone makes gaps
        overrides=(*released.summary.request.overrides, "train.max_epochs=1", "evaluate.resamples=20"),
    )
    settings = Settings(store=f"{bucket}/homeroom", cache=tmp_path / "cache", keys=released.settings.keys)
    first = run_request(request, settings)
    # the same bytes and the same key give the same logs, wherever they are
    assert first.outcome.logs.sha256 == released.summary.outcome.logs.sha256
    assert first.outcome.raw.sha256 == released.summary.outcome.raw.sha256

    elsewhere = Settings(store=settings.store, cache=tmp_path / "another cache", keys=settings.keys)
    events: list[StageEvent] = []
    second: RunSummary = run_request(request, elsewhere, observe=events.append)
    assert {e.status for e in events} == {"skipped"}
    assert second.outcome.release == first.outcome.release

    store = elsewhere.open_store()
    release = find_release(store, "knowledge_tracing")
    assert golden_problems(load_bundle(store.folder(release), elsewhere.read_signing_key())) == ()


def test_an_8_bit_model_has_its_own_limit(released: Released) -> None:
    overrides = (*released.summary.request.overrides, "export.int8=true")
    run, config = open_application("knowledge_tracing", "small", overrides, settings=released.settings)
    outcome = released.summary.outcome
    model = run(export, outcome.dataset, outcome.checkpoint, config.export)
    assert model.int8_max_abs_error is not None
    assert 1e-5 < model.int8_max_abs_error <= 0.02
    report = json.loads((run.store.folder(model) / "parity.json").read_text())
    assert len(report["int8_checks"]) == len(report["checks"])

    run, config = open_application(
        "knowledge_tracing", "small", (*overrides, "export.int8_tolerance=1e-7"), settings=released.settings
    )
    with pytest.raises(ExportError, match="8-bit model differ"):
        run(export, outcome.dataset, outcome.checkpoint, config.export)


@pytest.mark.soak
@pytest.mark.multiprocess
def test_training_on_two_processes(released: Released) -> None:
    overrides = (*released.summary.request.overrides, "train.devices=2")
    run, config = open_application("knowledge_tracing", "small", overrides, settings=released.settings)
    data = run(preprocess, run(ingest, collect(run.store, [str(released.logs)]), config.ingest), config.preprocess)
    two = run(train, data, config.train)
    one = released.summary.outcome.checkpoint
    assert two.epochs == one.epochs
    assert two.optimizer_steps == one.optimizer_steps  # the processes share each batch
    assert two.best_value > 0.52
