"""The neural grader: where training starts, its loss by hand, trained as the stage does, as ONNX, and as served."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sklearn.metrics import cohen_kappa_score

from components.app import answer_requests, load_application
from components.config import as_plain
from components.export.graph import check_axes, load_network, write_onnx
from components.export.parity import compare, real_batches, require
from components.train.fit import fit
from components.train.job import Job
from components.writing.codec import Codec, Request
from components.writing.evaluate.predict import predict_split
from components.writing.neural.config import NeuralConfig
from components.writing.neural.grader import NeuralGrader
from components.writing.preprocess.arrays import TextArrays
from components.writing.targets import Targets
from tests.components.writing import made_up
from trainer.seed import isolated_rng

APP = load_application("essay_grading")
CONFIG = NeuralConfig(kind="neural", width=8, filters=12, hidden=10)


def tensors(arrays: TextArrays, rows: list[int]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.batch(rows).items()}


@pytest.fixture
def fresh(words_folder: Path) -> NeuralGrader:
    with isolated_rng():
        torch.manual_seed(1)
        return NeuralGrader.for_training(words_folder, CONFIG)


@pytest.fixture(scope="module")
def trained(words_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a training as the stage starts it."""
    folder = tmp_path_factory.mktemp("neural")
    config = APP.configuration("neural", ("train.max_epochs=4", "train.model.filters=24", "train.model.width=16"))
    threads = torch.get_num_threads()
    with isolated_rng(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("PL_GLOBAL_SEED", "0")  # what `seed_everything` sets is undone with it
        patch.setenv("PL_SEED_WORKERS", "0")
        fit(Job(package=APP.package, dataset=str(words_folder), folder=str(folder), config=as_plain(config.train)))
    torch.set_num_threads(threads)
    return folder


@torch.no_grad()
def test_it_starts_from_the_ridge_on_features(words_folder: Path, fresh: NeuralGrader) -> None:
    torch.nn.init.zeros_(fresh.heads.output_PMH)
    torch.nn.init.zeros_(fresh.heads.direct_PMD)
    targets, test = Targets.of(words_folder, CONFIG.ridge), TextArrays.open(words_folder, "test")
    found = fresh.eval()(*(tensors(test, [0, 5])[name] for name in fresh.input_names))[0]
    for n, row in enumerate((0, 5)):
        p = int(test.prompt_R[row])
        standard = targets.codec.prompts[p].standardised(test.features_RF[row])
        expected = targets.centre_PM[p, 0] + targets.spread_PM[p, 0] * (standard @ targets.ridge_PMF[p, 0])
        assert float(found[n]) == pytest.approx(expected, abs=1e-4)


def test_a_loss_by_hand_leaves_out_the_traits_that_are_missing(fresh: NeuralGrader) -> None:
    grader = fresh
    grader.log = lambda *args, **kwargs: None  # type: ignore[method-assign]  # there is no trainer
    grader.standard_targets = lambda batch: torch.tensor([[0.5, 2.0], [1.0, 9.0], [0.0, 7.0]])  # type: ignore[method-assign]
    plants, bridge = grader.has_trait_PK[:, 0].int().argmax(), grader.has_trait_PK[:, 0].int().argmin()
    grader.centre_PM[:] = torch.tensor([2.0, 1.0])
    grader.spread_PM[:] = torch.tensor([2.0, 0.5])
    batch = {
        "prompt": torch.tensor([plants, plants, bridge]),
        "score": torch.tensor([3.0, 4.0, 1.0]),  # standardised: 0.5, 1, -0.5
        "traits": torch.tensor([[1.5], [torch.nan], [1.0]]),  # standardised: 1; missing; not learned of this prompt
    }
    # squared errors of scores 0, 0, 0.25, and of the one trait 1, weighted 0.3; mean over three texts
    assert float(grader.training_step(batch, 0)) == pytest.approx((0.0 + 0.3 * 1.0 + 0.0 + 0.25) / 3)
    shared = dict(batch, weight=torch.tensor(0.5))
    assert float(grader.training_step(shared, 0)) == pytest.approx((0.3 + 0.25) / 6)


@torch.inference_mode()
def test_padding_and_neighbours_in_a_batch_change_nothing(words_folder: Path, fresh: NeuralGrader) -> None:
    grader, test = fresh.double().eval(), TextArrays.open(words_folder, "test")
    together = tensors(test, list(range(8)))
    whole = grader(*(together[name] for name in grader.input_names))[0]
    for row in range(8):
        alone = tensors(test, [row])
        assert float(grader(*(alone[name] for name in grader.input_names))[0]) == pytest.approx(float(whole[row]))


@torch.inference_mode()
def test_the_order_of_words_counts(fresh: NeuralGrader) -> None:
    inputs = fresh.eval().export_inputs(1, 12, seed=0)
    inputs["tokens"] = torch.arange(2, 14).unsqueeze(0)
    turned = dict(inputs, tokens=inputs["tokens"].flip(1))
    raw, other = (fresh(*(batch[name] for name in fresh.input_names))[0] for batch in (inputs, turned))
    assert float(raw) != float(other)


@torch.inference_mode()
def test_a_family_at_its_mean_has_no_effect(fresh: NeuralGrader) -> None:
    grader = fresh.double().eval()
    batch = grader.export_inputs(4, 6, seed=2)
    usual = dict(batch, features=batch["features"].double())
    length = grader.family_GF[0]
    usual["features"] = torch.where(length, grader.mean_PF[batch["prompt"]], usual["features"])
    before, after = (grader(*(one[name] for name in grader.input_names)) for one in (batch, usual))
    assert after[3][:, 0].abs().max() < 1e-9
    assert torch.allclose(before[0] - after[0], before[3][:, 0], atol=1e-9)


def test_a_training_learns_and_its_figures_are_true(words_folder: Path, trained: Path) -> None:
    with (trained / "history.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert float(rows[-1]["train_loss"]) < 0.97 * float(rows[0]["train_loss"])
    best = max(rows, key=lambda row: float(row["valid_qwk"]))
    valid = TextArrays.open(words_folder, "valid")
    found = predict_split(APP, words_folder, trained, "valid", rows=len(valid.score_R), traits=1).score
    kappas = []
    for p in range(2):
        own = valid.prompt_R == p
        rounded = np.clip(np.floor(found.raw[own] + 0.5), 0, 4).astype(int)
        kappas.append(cohen_kappa_score(valid.score_R[own].astype(int), rounded, weights="quadratic"))
    assert float(best["valid_qwk"]) == pytest.approx(np.mean(kappas), abs=1e-6)
    assert np.mean(kappas) > 0.8
    assert found.low is not None
    assert found.high is not None
    inside = (found.low <= valid.score_R) & (valid.score_R <= found.high)
    assert inside.mean() >= 0.9  # of the texts that set the width


def test_traits_are_learned_where_there_are_any(words_folder: Path, trained: Path) -> None:
    test = TextArrays.open(words_folder, "test")
    traits = predict_split(APP, words_folder, trained, "test", rows=len(test.score_R), traits=1).traits
    assert traits is not None
    plants = np.isfinite(test.traits_RK[:, 0])
    assert np.isnan(traits[~plants]).all()
    assert np.corrcoef(traits[plants, 0], test.traits_RK[plants, 0])[0, 1] > 0.8


def test_onnx_equals_torch_and_the_service_gives_the_same(words_folder: Path, trained: Path, tmp_path: Path) -> None:
    network = load_network(APP, trained)
    write_onnx(network, tmp_path / "model.onnx", opset=20, metadata={})
    check_axes(tmp_path / "model.onnx", network)
    checks = compare(network, tmp_path / "model.onnx", real_batches(APP, network, words_folder, 2), longest=100)
    require(checks, 1e-8, "the model", "")
    assert {check.inputs for check in checks} == {"made up", "validation"}

    codec = Codec.from_json(json.loads((words_folder / "codec.json").read_text()))

    def run(inputs: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        with torch.inference_mode():
            found = network(*(torch.from_numpy(inputs[name]) for name in network.input_names))
        return {name: value.numpy() for name, value in zip(network.output_names, found, strict=True)}

    rows = made_up.table(120, seed=5)
    (text,) = rows.filter((rows["prompt"] == "plants") & (rows["score"] == 3))["text"].head(1)
    asked = Request(prompt="plants", text=text, explain=True)
    [answer] = answer_requests(codec, run, [asked])
    assert answer.abstained is None
    assert answer.interval[0] < answer.raw < answer.interval[1]
    assert answer.traits["content"] in {1.0, 2.0, 3.0}
    strongest = next(one for one in answer.feedback if one.kind == "passage")
    rest = text[: strongest.start] + " " + text[strongest.end :]
    both = run(codec.batch([codec.row(codec.read(one, 1), 1) for one in (text, rest)]))["raw"]
    assert both[0] - both[1] == pytest.approx(strongest.effect, abs=1e-9)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"filters": 0}, "filters=0"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"ridge": 0.0}, "ridge=0.0"),
        ({"stretches": ()}, "stretches"),
        ({"confidence": 0.0}, "confidence=0.0"),
        ({"regions": 0}, "regions=0"),
    ],
)
def test_a_wrong_configuration_says_what_is_wrong(changed: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        NeuralConfig(kind="neural", **changed)  # type: ignore[arg-type]  # wrong on purpose
