"""What every application must do: learn from synthetic data, export what it learned, and serve what it exported."""

import csv
import importlib.util
import json
from pathlib import Path

import onnx
import pytest

from components.app import Codec, application_names, load_application
from components.chain import STAGES
from components.config import as_plain, make_config
from components.stage import spec_of
from serving.bundle import load_bundle
from serving.health import golden_problems
from tests.conftest import Released

pytestmark = pytest.mark.slow
RELEASES = {
    "knowledge_tracing": ("released", "released_attention"),
    "essay_grading": ("released_essays", "released_neural_essays"),
}
"""Fixtures with a release of each application, on synthetic data."""
EACH = [(name, fixture) for name, fixtures in RELEASES.items() for fixture in fixtures]


@pytest.fixture
def release(request: pytest.FixtureRequest, fixture: str) -> Released:
    found: Released = request.getfixturevalue(fixture)
    return found


def test_every_application_has_a_release_here() -> None:
    assert set(application_names()) == set(RELEASES)


@pytest.mark.parametrize("name", application_names())
def test_its_configurations_are_read_and_come_back(name: str) -> None:
    application = load_application(name)
    assert {"small", "full"} <= set(application.configurations())
    for configuration in application.configurations():
        config = application.configuration(configuration)
        assert make_config(application.config, as_plain(config)) == config


@pytest.mark.parametrize("name", application_names())
def test_it_has_a_codec_and_a_card(name: str) -> None:
    application = load_application(name)
    assert issubclass(application.codec(), Codec)
    card = application.card_file.read_text(encoding="utf-8")
    assert all(f"## {part}" in card for part in ("Intended use", "Data and consent", "Limits", "Who decides"))


@pytest.mark.parametrize("name", application_names())
def test_its_kind_of_data_has_every_stage_and_is_shown(name: str) -> None:
    chain = load_application(name).kind
    assert [spec_of(chain.stage(stage)).name for stage in STAGES] == list(STAGES)
    assert callable(chain.part(chain.comparison))
    assert "metrics" in chain.part(chain.card)
    assert importlib.util.find_spec(f"flows.views.{chain.name}") is not None
    templates = Path(load_application("knowledge_tracing").folder).parent / "templates"
    assert (templates / f"{chain.name}.html").is_file()


@pytest.mark.parametrize(("name", "fixture"), EACH)
def test_it_learns(name: str, release: Released) -> None:
    """A trained model's loss falls; one that is fitted at once tells what it reached."""
    outcome = release.summary.outcome
    folder = release.settings.open_store().folder(outcome.checkpoint)
    with (folder / "history.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == outcome.checkpoint.epochs
    if outcome.checkpoint.optimizer_steps:
        losses = [float(row["train_loss"]) for row in rows]
        assert losses[-1] < losses[0] - 0.01
    else:
        assert float(rows[0][outcome.checkpoint.best_metric]) == pytest.approx(outcome.checkpoint.best_value)


@pytest.mark.parametrize(("name", "fixture"), EACH)
def test_it_beats_the_constant_predictor_on_held_out_students(name: str, release: Released) -> None:
    headline = load_application(name).kind.headline
    constant = {"auc": 0.5, "qwk": 0.0}[headline]
    evaluation = release.summary.outcome.evaluation
    low, high = evaluation.intervals[headline]
    assert low > constant
    assert low < evaluation.metrics[headline] < high


@pytest.mark.parametrize(("name", "fixture"), EACH)
def test_its_export_equals_torch_on_every_shape(name: str, release: Released) -> None:
    outcome = release.summary.outcome
    folder = release.settings.open_store().folder(outcome.onnx)
    metadata = {p.key: p.value for p in onnx.load(folder / "model.onnx").metadata_props}
    assert metadata["application"] == name
    assert metadata["checkpoint"] == outcome.checkpoint.sha256
    assert metadata["dataset"] == outcome.dataset.sha256
    assert metadata["version"] == f"{name}-{metadata['checkpoint'][:12]}"
    assert json.loads(metadata["inputs"])
    checks = json.loads((folder / "parity.json").read_text())["checks"]
    shapes = {(c["batch"], c["steps"]) for c in checks if c["inputs"] == "made up"}
    assert len(shapes) >= 6
    assert (1, 1) in shapes
    assert max(steps for _, steps in shapes) == getattr(outcome.dataset, "max_len_steps", 200)
    assert any(c["inputs"] == "validation" for c in checks)
    assert max(c["max_abs_error"] for c in checks) <= 1e-5


@pytest.mark.parametrize(("name", "fixture"), EACH)
def test_its_release_is_signed_and_gives_the_golden_answers(name: str, release: Released) -> None:
    outcome, settings = release.summary.outcome, release.settings
    bundle = load_bundle(settings.open_store().folder(outcome.release), settings.read_signing_key())
    assert bundle.version == outcome.release.version
    assert bundle.version.startswith(f"{name}-")
    assert golden_problems(bundle) == ()
