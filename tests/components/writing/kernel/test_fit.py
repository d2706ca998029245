"""The kernel grader: against scikit-learn, by hand, as ONNX, and as the service uses it."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
import torch
from sklearn.kernel_ridge import KernelRidge
from sklearn.metrics import cohen_kappa_score

from components.app import answer_requests
from components.errors import NotEnoughDataError
from components.export.graph import check_axes, write_onnx
from components.inference import open_session
from components.train.estimator import Estimator
from components.writing.codec import Codec, Request
from components.writing.kernel.choices import weighted_kappa
from components.writing.kernel.config import KernelConfig
from components.writing.kernel.estimator import KernelEstimator
from components.writing.kernel.fit import fit_kernel
from components.writing.kernel.grader import KernelGrader
from components.writing.preprocess.arrays import TextArrays
from components.writing.preprocess.config import WritingPreprocessConfig
from tests.components.writing import made_up

Floats = npt.NDArray[np.float64]
ONE = KernelConfig(ridges=(0.3,), stretches=(1.2,))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_up.dataset(tmp_path_factory.mktemp("kernel"), made_up.table(150, seed=5), WritingPreprocessConfig())


@pytest.fixture(scope="module")
def codec(folder: Path) -> Codec:
    return Codec.from_json(json.loads((folder / "codec.json").read_text()))


@pytest.fixture(scope="module")
def grader(folder: Path) -> KernelGrader:
    return fit_kernel(folder, ONE)


def tensors(arrays: TextArrays, rows: list[int]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.batch(rows).items()}


def outputs(grader: KernelGrader, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    with torch.inference_mode():
        return dict(zip(grader.output_names, grader(*(batch[name] for name in grader.input_names)), strict=True))


def dense(arrays: TextArrays, rows: npt.NDArray[np.int64], codec: Codec) -> tuple[Floats, Floats]:
    """Return word and character n-grams as dense arrays."""
    assert arrays.ids is not None
    assert arrays.values is not None
    found = np.zeros((len(rows), codec.gram_count))
    for n, r in enumerate(rows.tolist()):
        found[n, arrays.ids.row(r)] = arrays.values.row(r)
    is_word = np.zeros(codec.gram_count, np.bool_)
    for p in range(len(codec.prompts)):
        first, character, _ = codec.gram_range(p)
        is_word[first:character] = True
    return found[:, is_word], found[:, ~is_word]


def test_it_equals_kernel_ridge_of_scikit_learn(folder: Path, codec: Codec, grader: KernelGrader) -> None:
    train, test = TextArrays.open(folder, "train"), TextArrays.open(folder, "test")
    for p, terms in enumerate(codec.prompts):
        rows, held = np.flatnonzero(train.prompt_R == p), np.flatnonzero(test.prompt_R == p)
        parts = []
        for arrays, at in ((train, rows), (test, held)):
            standard = np.clip((arrays.features_RF[at] - terms.mean_F) / terms.sd_F, -4, 4).astype(np.float64)
            parts.append((*dense(arrays, at, codec), standard))
        varying = int((parts[0][2].std(axis=0) > 0).sum())

        def likeness(left: tuple[Floats, ...], right: tuple[Floats, ...], varying: int = varying) -> Floats:
            distance = np.square(left[2][:, None, :] - right[2][None, :, :]).sum(-1)
            found: Floats = (
                0.35 * left[0] @ right[0].T + 0.35 * left[1] @ right[1].T + 0.3 * np.exp(-0.25 / varying * distance)
            )
            return found

        score = train.score_R[rows].astype(np.float64)
        model = KernelRidge(alpha=0.3, kernel="precomputed").fit(
            likeness(parts[0], parts[0]), (score - score.mean()) / score.std()
        )
        expected = score.mean() + 1.2 * score.std() * model.predict(likeness(parts[1], parts[0]))
        found = outputs(grader, tensors(test, held.tolist()))["raw"].numpy()
        assert np.abs(found - expected).max() <= 1e-5


@pytest.mark.slow
def test_onnx_equals_torch_on_every_shape(folder: Path, grader: KernelGrader, tmp_path: Path) -> None:
    write_onnx(grader, tmp_path / "model.onnx", opset=20, metadata={})
    check_axes(tmp_path / "model.onnx", grader)
    session = open_session(tmp_path / "model.onnx")
    arrays = TextArrays.open(folder, "valid")
    batches = [grader.export_inputs(b, steps, seed=b) for b, steps in ((1, 1), (2, 700), (17, 3), (64, 50))]
    batches += [tensors(arrays, [0]), tensors(arrays, list(range(20)))]
    for batch in batches:
        expected = outputs(grader, batch)
        found = session.run(list(grader.output_names), {name: batch[name].numpy() for name in grader.input_names})
        for (name, ours), theirs in zip(expected.items(), found, strict=True):
            assert theirs.shape == tuple(ours.shape), name
            assert np.abs(ours.numpy() - theirs).max() <= 1e-9, name


def test_what_is_served_is_what_was_computed_offline(folder: Path, codec: Codec, grader: KernelGrader) -> None:
    rows = made_up.table(150, seed=5)
    texts = dict(zip(rows["response"], rows["text"], strict=True))
    kept = pl.read_parquet(folder / "responses.parquet").filter(pl.col("split") == "test")
    arrays = TextArrays.open(folder, "test")
    offline = grader.predict_step(tensors(arrays, list(range(kept.height))), 0)
    requests = [
        Request(prompt=prompt, text=texts[response])
        for prompt, response in zip(kept["prompt"], kept["response"], strict=True)
    ]

    def run(inputs: dict[str, npt.NDArray[np.float64]]) -> dict[str, npt.NDArray[np.float64]]:
        found = outputs(grader, {name: torch.from_numpy(array) for name, array in inputs.items()})
        return {name: value.numpy() for name, value in found.items()}

    for answers in (answer_requests(codec, run, requests), [answer_requests(codec, run, [one])[0] for one in requests]):
        for n, answer in enumerate(answers):
            if answer.abstained is None:
                rubric = codec.prompts[int(arrays.prompt_R[n])].rubric
                assert answer.raw == pytest.approx(rubric.clipped(float(offline["raw"][n])), abs=1e-9)
                assert answer.interval[0] == pytest.approx(rubric.clipped(float(offline["low"][n])), abs=1e-9)


def test_parts_add_up_to_the_score(folder: Path, codec: Codec, grader: KernelGrader) -> None:
    train = TextArrays.open(folder, "train")
    batch = tensors(train, list(range(len(train.score_R))))
    found = outputs(grader, batch)
    usual = grader.usual_P[batch["prompt"]]
    assert torch.allclose(found["raw"], usual + found["blocks"].sum(1), atol=1e-9)
    for p in range(len(codec.prompts)):
        own = batch["prompt"] == p
        assert found["blocks"][own].mean(0).abs().max() < 1e-6  # against the training texts' own mean
        assert float(found["raw"][own].mean()) == pytest.approx(float(grader.usual_P[p]), abs=1e-9)


def test_an_n_gram_left_out_takes_its_effect_with_it(grader: KernelGrader, folder: Path) -> None:
    batch = tensors(TextArrays.open(folder, "test"), [0])
    before = outputs(grader, batch)
    least = dict(batch, values=batch["values"].clone())
    least["values"][0, 3] = 0.0
    after = outputs(grader, least)
    moved = float(before["raw"][0] - after["raw"][0])
    assert moved != 0.0
    assert moved == pytest.approx(float(before["grams"][0, 3] - after["grams"][0, 3]), abs=1e-9)


def test_a_family_at_its_mean_has_no_effect(grader: KernelGrader, codec: Codec) -> None:
    batch = grader.export_inputs(4, 6, seed=2)
    length = grader.family_FG[:, 0].bool()
    mean = torch.from_numpy(np.stack([codec.prompts[p].mean_F for p in batch["prompt"].tolist()]))
    usual = dict(batch, features=torch.where(length, mean, batch["features"]))
    before, after = outputs(grader, batch), outputs(grader, usual)
    assert after["effects"][:, 0].abs().max() < 1e-6
    assert torch.allclose(before["raw"] - after["raw"], before["effects"][:, 0], atol=1e-6)


def test_it_beats_the_constant_and_its_figures_are_true(folder: Path, codec: Codec) -> None:
    grader = fit_kernel(folder, KernelConfig())
    train, valid, test = (TextArrays.open(folder, split) for split in ("train", "valid", "test"))
    raw = outputs(grader, tensors(test, list(range(len(test.score_R)))))["raw"].numpy()
    kappas = []
    for p, terms in enumerate(codec.prompts):
        own = test.prompt_R == p
        constant = np.square(test.score_R[own] - train.score_R[train.prompt_R == p].mean()).mean()
        assert np.square(test.score_R[own] - raw[own]).mean() < 0.25 * constant
        held = np.flatnonzero(valid.prompt_R == p)
        rounded = [terms.rubric.rounded(x) for x in outputs(grader, tensors(valid, held.tolist()))["raw"].tolist()]
        kappas.append(cohen_kappa_score(valid.score_R[held].astype(int), np.array(rounded, int), weights="quadratic"))
    assert grader.figures["valid_qwk"] == pytest.approx(np.mean(kappas))
    assert np.mean(kappas) > 0.8


def test_traits_are_learned_where_there_are_any(folder: Path, codec: Codec, grader: KernelGrader) -> None:
    test = TextArrays.open(folder, "test")
    found = grader.predict_step(tensors(test, list(range(len(test.score_R)))), 0)["traits"].numpy()[:, 0]
    plants = test.prompt_R == codec.index_of("plants")
    assert np.isnan(found[~plants]).all()
    assert np.corrcoef(found[plants], test.traits_RK[plants, 0])[0, 1] > 0.8


def test_it_comes_back_from_a_checkpoint(folder: Path, grader: KernelGrader, tmp_path: Path) -> None:
    torch.save(
        {
            "state_dict": grader.state_dict(),
            "hyper_parameters": dict(grader.hparams),
            "pytorch-lightning_version": "2.6.0",
        },
        tmp_path / "model.ckpt",
    )
    torch.load(tmp_path / "model.ckpt", weights_only=True)
    again = KernelGrader.load_from_checkpoint(tmp_path / "model.ckpt", map_location="cpu")
    batch = tensors(TextArrays.open(folder, "test"), [0, 1])
    assert torch.equal(outputs(again, batch)["raw"], outputs(grader, batch)["raw"])
    assert again.figures == grader.figures


def test_it_is_an_estimator_of_the_train_stage(folder: Path, grader: KernelGrader) -> None:
    estimator = KernelEstimator(ONE)
    assert isinstance(estimator, Estimator)
    lines: list[str] = []
    found = estimator.estimate(folder, lines.append)
    assert found.metrics[found.best_metric] == grader.figures["valid_qwk"]
    assert len(lines) == 2
    for name, value in grader.state_dict().items():
        assert torch.equal(found.module.state_dict()[name], value), name


def test_more_texts_than_wanted_are_thinned_out(folder: Path) -> None:
    grader = fit_kernel(folder, KernelConfig(max_support=25, ridges=(0.3,), stretches=(1.0,)))
    assert grader.support_SNF.shape[1] == 25


def test_a_dataset_without_n_grams_is_refused(tmp_path: Path) -> None:
    words = made_up.dataset(tmp_path, made_up.table(60), WritingPreprocessConfig(inputs="tokens"))
    with pytest.raises(NotEnoughDataError, match="'grams' or 'both'"):
        fit_kernel(words, KernelConfig())


def test_kappa_equals_scikit_learn() -> None:
    source = np.random.default_rng(3)
    given, predicted = source.integers(0, 5, 200), source.integers(1, 7, 200)
    expected = cohen_kappa_score(given, predicted, weights="quadratic")
    assert weighted_kappa(given.astype(float), predicted.astype(float)) == pytest.approx(expected)
    assert weighted_kappa(np.ones(5), np.ones(5)) == 0.0


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"word_weight": -1.0}, "word_weight"),
        ({"gamma": 0.0}, "gamma=0.0"),
        ({"ridges": ()}, "ridges"),
        ({"stretches": (0.0,)}, "stretches"),
        ({"confidence": 1.0}, "confidence=1.0"),
        ({"regions": 0}, "regions=0"),
    ],
)
def test_a_wrong_configuration_says_what_is_wrong(changed: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        KernelConfig(**changed)  # type: ignore[arg-type]  # wrong on purpose
