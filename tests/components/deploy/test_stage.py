"""The deploy stage: what is in a release, and that both its models are checked against answers of their own."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from components.artifacts import OnnxModel, Release
from components.bundle import write_bundle_manifest
from components.errors import DigestMismatchError
from components.stage import Runner
from flows.settings import Settings
from flows.stages import deploy, export, open_application
from serving.bundle import load_bundle
from serving.errors import BundleError
from serving.health import differences, golden_problems
from tests.conftest import Released

pytestmark = pytest.mark.slow

TOLERANCE = 1e-5  # DeployConfig's


@pytest.fixture(scope="module")
def with_int8(released: Released, tmp_path_factory: pytest.TempPathFactory) -> tuple[Runner, OnnxModel, Release]:
    """Export and deploy the finished run's model once more, with 8-bit weights too, in a copy of its store."""
    home = tmp_path_factory.mktemp("int8")
    shutil.copytree(released.settings.store, home / "store")
    settings = Settings(store=str(home / "store"), cache=home / "cache", keys=released.settings.keys)
    overrides = (*released.summary.request.overrides, "export.int8=true")
    run, config = open_application("knowledge_tracing", "small", overrides, settings=settings)
    outcome = released.summary.outcome
    model = run(export, outcome.dataset, outcome.checkpoint, config.export)
    release = run(deploy, model, outcome.dataset, outcome.evaluation, outcome.fairness, config.deploy, outcome.leakage)
    return run, model, release


@pytest.fixture
def bundle_folder(with_int8: tuple[Runner, OnnxModel, Release], tmp_path: Path) -> Path:
    """Return a copy of the release's folder that may be changed."""
    run, _, release = with_int8
    ignored = shutil.ignore_patterns("manifest.json")  # the store's own
    shutil.copytree(run.store.folder(release), tmp_path / "release", ignore=ignored)
    return tmp_path / "release"


def read(path: Path) -> Any:  # Any: parsed JSON
    return json.loads(path.read_text(encoding="utf-8"))


def test_golden_requests_are_synthetic_and_the_same_for_both_models(
    with_int8: tuple[Runner, OnnxModel, Release], released: Released, bundle_folder: Path
) -> None:
    golden, int8 = read(bundle_folder / "golden.json"), read(bundle_folder / "golden.int8.json")
    assert golden["requests"] == int8["requests"]
    assert len(golden["requests"]) == len(golden["answers"]) == len(int8["answers"]) == 16  # DeployConfig's
    # Made from a seed and the vocabulary alone, the codec's JSON: no logs are at hand here.
    bundle = load_bundle(bundle_folder)
    made = [bundle.requests.plain(r) for r in bundle.codec.golden_requests(16, 0)]
    assert golden["requests"] == made
    logs = released.summary.outcome.logs
    assert logs.students
    assert logs.pseudonym_key_id not in json.dumps(golden)


def test_both_models_give_their_golden_answers(
    with_int8: tuple[Runner, OnnxModel, Release], released: Released, bundle_folder: Path
) -> None:
    key = released.settings.read_signing_key()
    for int8 in (False, True):
        assert golden_problems(load_bundle(bundle_folder, key, int8=int8)) == ()
    # Each model's own answers: further apart than the golden tolerance, no further than export measured about.
    golden, int8_answers = read(bundle_folder / "golden.json"), read(bundle_folder / "golden.int8.json")
    assert list(differences(golden["answers"], int8_answers["answers"], TOLERANCE))
    assert not list(differences(golden["answers"], int8_answers["answers"], 0.02))  # ExportConfig.int8_tolerance


@pytest.mark.parametrize(
    ("models", "int8"), [(("model.onnx", "model.int8.onnx"), False), (("model.int8.onnx", "model.onnx"), True)]
)
def test_a_model_in_the_other_ones_place_does_not_give_the_golden_answers(
    models: tuple[str, str], int8: bool, bundle_folder: Path, released: Released
) -> None:
    replaced, by = models
    shutil.copyfile(bundle_folder / by, bundle_folder / replaced)
    with pytest.raises(DigestMismatchError, match=replaced.replace(".", r"\.")):
        load_bundle(bundle_folder, int8=int8)
    key = released.settings.read_signing_key()
    write_bundle_manifest(bundle_folder, "knowledge_tracing", ["probability"], TOLERANCE, key)  # by who holds the key
    problems = golden_problems(load_bundle(bundle_folder, key, int8=int8))
    assert problems
    assert "probability is off by" in problems[0]


def test_changed_golden_answers_of_the_8_bit_model_are_found(bundle_folder: Path) -> None:
    path = bundle_folder / "golden.int8.json"
    golden = read(path)
    golden["answers"][3]["predictions"][0]["probability"] += 0.1
    path.write_text(json.dumps(golden), encoding="utf-8")
    for int8 in (False, True):
        with pytest.raises(DigestMismatchError, match=r"golden\.int8\.json"):
            load_bundle(bundle_folder, int8=int8)
    write_bundle_manifest(bundle_folder, "knowledge_tracing", ["probability"], TOLERANCE, None)
    problems = golden_problems(load_bundle(bundle_folder, int8=True))
    assert {p.split(",")[0] for p in problems} == {"Golden request 3"}
    assert golden_problems(load_bundle(bundle_folder)) == ()


def test_a_release_without_8_bit_export_says_so(released: Released) -> None:
    folder = released.settings.open_store().folder(released.summary.outcome.release)
    assert not (folder / "golden.int8.json").exists()
    with pytest.raises(BundleError, match=r"has no golden\.int8\.json, model\.int8\.onnx; .*export\.int8=true"):
        load_bundle(folder, int8=True)


def test_a_release_names_what_it_was_made_from(
    with_int8: tuple[Runner, OnnxModel, Release], released: Released, bundle_folder: Path
) -> None:
    _, model, release = with_int8
    outcome = released.summary.outcome
    assert read(bundle_folder / "lineage.json") == {
        "SequenceDataset": outcome.dataset.sha256,
        "OnnxModel": model.sha256,
        "Evaluation": outcome.evaluation.sha256,
        "FairnessReport": outcome.fairness.sha256,
        "LeakageReport": outcome.leakage.sha256,
    }
    leaks = released.store.folder(outcome.leakage) / "leakage.json"
    assert (bundle_folder / "leakage.json").read_bytes() == leaks.read_bytes()
    assert release.verdict == outcome.fairness.verdict
