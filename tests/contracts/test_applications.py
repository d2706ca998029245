"""What every application must do: learn from synthetic data, export what it learned, and serve what it exported."""

import csv
import json

import numpy as np
import onnx
import polars as pl
import pytest

from components.app import Codec, application_names, load_application
from components.config import as_plain, make_config
from components.evaluate.predict import predict_split
from serving.bundle import load_bundle
from serving.health import golden_problems
from tests.conftest import Released

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("name", application_names())]


@pytest.fixture(params=["dkt", "attention"])
def release(request: pytest.FixtureRequest, released: Released) -> Released:
    """Return a release of each network."""
    if request.param == "dkt":
        return released
    found: Released = request.getfixturevalue("released_attention")
    return found


def test_its_configurations_are_read_and_come_back(name: str) -> None:
    application = load_application(name)
    assert {"small", "full"} <= set(application.configurations())
    for configuration in application.configurations():
        config = application.configuration(configuration)
        assert make_config(application.config, as_plain(config)) == config


def test_it_has_a_codec_and_a_card(name: str) -> None:
    application = load_application(name)
    assert issubclass(application.codec(), Codec)
    card = application.card_file.read_text(encoding="utf-8")
    assert all(f"## {part}" in card for part in ("Intended use", "Data and consent", "Limits", "Who decides"))


def test_its_loss_falls(name: str, release: Released) -> None:
    folder = release.settings.open_store().folder(release.summary.outcome.checkpoint)
    with (folder / "history.csv").open() as stream:
        losses = [float(row["train_loss"]) for row in csv.DictReader(stream)]
    assert len(losses) == 3
    assert losses[-1] < losses[0] - 0.01


def test_it_predicts_better_than_chance_on_held_out_students(name: str, release: Released) -> None:
    evaluation = release.summary.outcome.evaluation
    low, high = evaluation.intervals["auc"]
    assert low > 0.5
    assert low < evaluation.metrics["auc"] < high


def test_its_export_equals_torch_on_every_shape(name: str, release: Released) -> None:
    folder = release.settings.open_store().folder(release.summary.outcome.onnx)
    metadata = {p.key: p.value for p in onnx.load(folder / "model.onnx").metadata_props}
    assert metadata["application"] == name
    assert metadata["checkpoint"] == release.summary.outcome.checkpoint.sha256
    assert metadata["dataset"] == release.summary.outcome.dataset.sha256
    assert metadata["version"] == f"{name}-{metadata['checkpoint'][:12]}"
    assert json.loads(metadata["inputs"])
    checks = json.loads((folder / "parity.json").read_text())["checks"]
    shapes = {(c["batch"], c["steps"]) for c in checks if c["inputs"] == "made up"}
    longest = release.summary.outcome.dataset.max_len_steps
    assert len(shapes) >= 6
    assert {(1, 1), (1, longest)} <= shapes
    assert any(c["inputs"] == "validation" for c in checks)
    assert max(c["max_abs_error"] for c in checks) <= 1e-5


def test_its_release_is_signed_and_gives_the_golden_answers(name: str, release: Released) -> None:
    outcome, settings = release.summary.outcome, release.settings
    bundle = load_bundle(settings.open_store().folder(outcome.release), settings.read_signing_key())
    assert bundle.version == outcome.release.version
    assert bundle.version.startswith(f"{name}-")
    assert golden_problems(bundle) == ()


def test_what_was_evaluated_is_what_the_checkpoint_says(name: str, release: Released) -> None:
    outcome, settings = release.summary.outcome, release.settings
    store, application = settings.open_store(), load_application(name)
    offline = predict_split(application, store.folder(outcome.dataset), store.folder(outcome.checkpoint), "test")
    kept = pl.read_parquet(store.folder(outcome.evaluation) / "predictions.parquet")
    assert np.allclose(kept["probability"].to_numpy(), offline, atol=1e-6)


def test_what_it_serves_equals_what_was_evaluated(name: str, release: Released) -> None:
    outcome, settings = release.summary.outcome, release.settings
    store, application = settings.open_store(), load_application(name)
    kept = pl.read_parquet(store.folder(outcome.evaluation) / "predictions.parquet")
    bundle = load_bundle(store.folder(outcome.release), settings.read_signing_key())
    answers = application.part(application.scorer)(
        store.folder(outcome.logs), bundle.codec, bundle.session.run, "all", kept["student"]
    )
    # later windows start anew offline, where the service reads on; within the first window both see the same
    both = kept.join(answers.select("student", "position", served="probability"), on=["student", "position"])
    both = both.filter(pl.col("position") < outcome.dataset.max_len_steps)
    assert both.height > 1_000
    assert np.abs(both["probability"].to_numpy() - both["served"].to_numpy()).max() <= 1e-5
