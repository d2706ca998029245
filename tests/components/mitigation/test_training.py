"""Weights at work: in the loss of knowledge tracing, in the kernel grader, in the neural one."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
import torch
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge

from components.mitigation.config import ReweighConfig
from components.schema import STUDENTS
from components.writing.codec import Codec
from components.writing.codec.features import CLIP
from components.writing.kernel.config import KernelConfig
from components.writing.kernel.fit import fit_kernel
from components.writing.kernel.grader import KernelGrader
from components.writing.kernel.traits import fit_traits
from components.writing.neural.config import NeuralConfig
from components.writing.neural.grader import NeuralGrader
from components.writing.preprocess.arrays import TextArrays
from components.writing.preprocess.config import WritingPreprocessConfig
from components.writing.preprocess.layout import write_dataset
from components.writing.schema import RESPONSES
from components.writing.targets import Targets
from flows.knowledge_tracing.config import DktConfig
from flows.knowledge_tracing.data import KnowledgeTracingData
from flows.knowledge_tracing.model import DeepKnowledgeTracing
from tests.components.writing import made_up
from trainer.seed import isolated_rng

Floats = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = WritingPreprocessConfig(inputs="both", max_tokens=80)
    return made_up.dataset(tmp_path_factory.mktemp("weighed"), made_up.table(80, seed=5), config)


def weighed(folder: Path, target: Path, weight: npt.NDArray[np.float32]) -> Path:
    """Return a copy of the dataset with these weights of its training responses."""
    shutil.copytree(folder, target)
    np.save(target / "train" / "group_weight.npy", weight)
    return target


def raw_of(grader: KernelGrader, arrays: TextArrays) -> Floats:
    batch = {name: torch.from_numpy(np.array(a)) for name, a in arrays.batch(range(len(arrays.score_R))).items()}
    with torch.inference_mode():
        found: Floats = grader(*(batch[name] for name in grader.input_names))[0].numpy()
    return found


def responses(folder: Path) -> int:
    return len(np.load(folder / "train" / "score.npy"))


ONE = KernelConfig(ridges=(0.3,), stretches=(1.0,))


def test_weights_of_one_change_not_a_bit_of_the_kernel_grader(folder: Path, tmp_path: Path) -> None:
    ones = weighed(folder, tmp_path / "ones", np.ones(responses(folder), np.float32))
    for name, value in fit_kernel(folder, ONE).state_dict().items():
        assert torch.equal(value, fit_kernel(ones, ONE).state_dict()[name]), name


def test_a_kernel_grader_with_weights_is_ridge_regression_of_scikit_learn_with_weights(
    folder: Path, tmp_path: Path
) -> None:
    weight = np.random.default_rng(3).uniform(0.2, 4.0, responses(folder)).astype(np.float32)
    heavy = weighed(folder, tmp_path / "heavy", weight)
    train, test = TextArrays.open(heavy, "train"), TextArrays.open(heavy, "test")
    alone = KernelConfig(ridges=(0.3,), stretches=(1.0,), word_weight=0.0, character_weight=0.0, feature_weight=1.0)
    codec = Codec.from_json(json.loads((heavy / "codec.json").read_text()))
    found = raw_of(fit_kernel(heavy, alone), test)
    for p, terms in enumerate(codec.prompts):
        rows, held = np.flatnonzero(train.prompt_R == p), np.flatnonzero(test.prompt_R == p)
        x, z = (np.clip((a.features_RF[at] - terms.mean_F) / terms.sd_F, -CLIP, CLIP).astype(np.float64)
                for a, at in ((train, rows), (test, held)))  # fmt: skip
        score, its = train.score_R[rows].astype(np.float64), weight[rows].astype(np.float64)
        centre = float((its * score).sum() / its.sum())
        gamma = alone.gamma / int((x.std(axis=0) > 0).sum())
        ridge = KernelRidge(alpha=0.3, kernel="rbf", gamma=gamma).fit(x, score - centre, sample_weight=its)
        assert found[held] == pytest.approx(centre + ridge.predict(z), abs=1e-6)


def test_a_weight_of_two_is_the_text_twice() -> None:
    source = np.random.default_rng(1)
    points = source.normal(size=(30, 4))
    kernel, target = points @ points.T + np.eye(30), source.normal(size=(30, 1))
    twice = np.r_[np.arange(30), np.arange(10)]
    dual, centre, _ = fit_traits(kernel, target, 0.4, np.r_[np.full(10, 2.0), np.ones(20)])
    # texts that are there twice are alike, the unit of noise in `kernel` among it
    other, mean, _ = fit_traits(kernel[np.ix_(twice, twice)], target[twice], 0.4, np.ones(40))
    assert centre == pytest.approx(mean)
    assert kernel @ dual == pytest.approx((kernel[:, twice] @ other), abs=1e-9)


def test_the_neural_grader_starts_from_a_weighted_ridge_and_weighs_its_loss(folder: Path, tmp_path: Path) -> None:
    weight = np.random.default_rng(3).uniform(0.2, 4.0, responses(folder)).astype(np.float32)
    heavy = weighed(folder, tmp_path / "heavy", weight)
    train, targets = TextArrays.open(heavy, "train"), Targets.of(heavy, 5.0)
    for p, terms in enumerate(targets.codec.prompts):
        rows = np.flatnonzero(train.prompt_R == p)
        x = np.clip((train.features_RF[rows] - terms.mean_F) / terms.sd_F, -CLIP, CLIP).astype(np.float64)
        y = (train.score_R[rows] - targets.centre_PM[p, 0]) / targets.spread_PM[p, 0]
        ridge = Ridge(alpha=5.0, fit_intercept=False).fit(x, y, sample_weight=weight[rows])
        assert targets.ridge_PMF[p, 0] == pytest.approx(ridge.coef_, abs=1e-6)
    with isolated_rng():
        torch.manual_seed(1)
        config = NeuralConfig(kind="neural", width=8, filters=12, hidden=10, trait_weight=0.0)
        grader = NeuralGrader.for_training(heavy, config).eval()
    grader.log = lambda *args, **kwargs: None  # type: ignore[method-assign]  # there is no trainer
    some = list(range(0, responses(folder), 3))
    batch = {name: torch.from_numpy(np.array(array)) for name, array in train.batch(some).items()}
    with torch.no_grad():
        found = grader.training_step(batch, 0)
        wanted = (batch["score"] - grader.centre_PM[batch["prompt"], 0]) / grader.spread_PM[batch["prompt"], 0]
        errors = (grader.standard_targets(batch)[:, 0] - wanted).square().double().numpy()
    assert float(found) == pytest.approx(float((errors * weight[some]).mean()), rel=1e-5)


def test_knowledge_tracing_weighs_its_loss_and_only_in_training(tmp_path: Path) -> None:
    source = np.random.default_rng(0)
    lengths = np.array([5, 3, 4], np.int32)
    weight = source.uniform(0.5, 2.0, 12).astype(np.float32)
    for split in ("train", "valid"):
        place = tmp_path / split
        place.mkdir()
        np.save(place / "items.npy", source.integers(2, 9, 12).astype(np.int32))
        np.save(place / "skills.npy", source.integers(1, 5, (12, 2)).astype(np.int32))
        np.save(place / "responses.npy", (source.random(12) < 0.6).astype(np.float32))
        np.save(place / "scored.npy", np.ones(12, np.bool_))
        np.save(place / "starts.npy", (np.cumsum(lengths) - lengths).astype(np.int64))
        np.save(place / "lengths.npy", lengths)
    plain = KnowledgeTracingData(tmp_path, batch_steps=100, seed=0)
    assert all("group_weight" not in batch for batch in plain.train_dataloader())
    np.save(tmp_path / "train" / "group_weight.npy", weight)
    assert all("group_weight" not in batch for batch in plain.val_dataloader())
    network = asdict(DktConfig(width=4, hidden=4, dropout=0.0, unknown_share=0.0, difficulty_l2=0.0))
    with isolated_rng():
        torch.manual_seed(0)
        model = DeepKnowledgeTracing(items=9, skills=5, max_skills=2, network=network)
    model.log = lambda *args, **kwargs: None  # type: ignore[method-assign]  # there is no trainer
    seen = 0
    for batch in plain.train_dataloader():
        with torch.no_grad():
            found = float(model.training_step(batch, 0))
            p = model(batch["items"], batch["skills"], batch["responses"]).double().numpy()
        mask, y = batch["mask"].numpy(), batch["responses"].numpy()
        losses = -np.log(np.where(y > 0.5, p, 1 - p))[mask]
        own = weight[batch["index"].numpy()[mask]]
        assert found == pytest.approx((losses * own).sum() / mask.sum(), rel=1e-5)
        seen += int(mask.sum())
    assert seen == 12


def test_what_a_word_gives_away_of_the_group_counts_less(tmp_path: Path) -> None:
    # the same kind of texts; group b's hold a word of their own, and raters, who are noisy, give them a point less
    rows = made_up.table(200, seed=11)
    is_b = pl.col("student").str.slice(1).cast(pl.Int64) % 3 == 0
    noise = np.random.default_rng(2).normal(0.0, 1.5, rows.height)
    rows = rows.with_columns(
        text=pl.when(is_b).then(pl.col("text") + " Innit.").otherwise("text"),
        score=(pl.col("score") + pl.Series(noise) - is_b.cast(pl.Float64)).round().clip(0, 4),
    )
    made_up.write(tmp_path / "source", rows)
    students = rows.select("student").unique().sort("student")
    group = pl.when(is_b).then(pl.lit("b")).otherwise(pl.lit("a"))
    table = students.with_columns(pl.lit(None, pl.String).alias("declared_split"), group.alias("group"))
    table.write_parquet(tmp_path / "source" / STUDENTS)
    gaps = []
    for name, by in (("plain", ""), ("weighed", "group")):
        (tmp_path / name).mkdir()
        config = WritingPreprocessConfig(reweigh=ReweighConfig(by=by))
        write_dataset(tmp_path / "source", tmp_path / name, config)
        raw = raw_of(fit_kernel(tmp_path / name, ONE), TextArrays.open(tmp_path / name, "test"))
        kept = pl.read_parquet(tmp_path / name / RESPONSES).filter(pl.col("split") == "test")
        b = kept.select(is_b.alias("b"))["b"].to_numpy()
        gaps.append(float(raw[~b].mean() - raw[b].mean()))
    assert gaps[0] > 0.3
    assert 0.0 < gaps[1] < 0.85 * gaps[0]
