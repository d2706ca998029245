"""Knowledge tracing with an affine map of its answers: in torch, in the exported graph, and through the stages."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from components.app import load_application
from components.config import make_config
from components.deploy.card import model_card
from components.errors import ConfigError
from components.export.graph import write_onnx
from components.mitigation.config import PostprocessConfig
from components.mitigation.reweighing import CAUTION
from components.train.config import TrainConfig
from flows.knowledge_tracing.config import DktConfig, KnowledgeTracingTrainConfig
from flows.knowledge_tracing.model import DeepKnowledgeTracing
from flows.mitigation import comparisons_of
from flows.stages import evaluate, export, fairness, open_application, train
from tests.conftest import Released
from trainer.seed import isolated_rng

AFFINE = asdict(PostprocessConfig(kind="affine"))


def network(postprocess: dict[str, Any] | None) -> DeepKnowledgeTracing:
    config = asdict(DktConfig(width=6, hidden=8, unknown_share=0.0))
    with isolated_rng():
        torch.manual_seed(0)
        made = DeepKnowledgeTracing(items=20, skills=7, max_skills=3, network=config, postprocess=postprocess)
    return made.eval()


def batch_of(model: DeepKnowledgeTracing, windows: int, steps: int) -> dict[str, torch.Tensor]:
    inputs = model.export_inputs(windows, steps, seed=2)
    index = torch.arange(windows * steps).reshape(windows, steps)
    return {**inputs, "mask": index % 7 != 6, "scored": index % 5 != 0, "index": index}


def test_without_one_and_with_one_that_was_not_fitted_every_bit_is_the_same() -> None:
    older, plain, mapped = network(None), network(asdict(PostprocessConfig())), network(AFFINE)
    inputs = plain.export_inputs(5, 12, seed=1)
    assert torch.equal(older(**inputs), plain(**inputs))
    assert torch.equal(plain(**inputs), mapped(**inputs))
    assert list(older.state_dict()) == list(plain.state_dict())
    assert sorted(set(mapped.state_dict()) - set(plain.state_dict())) == ["affine.intercept", "affine.slope"]
    assert len(list(mapped.parameters())) == len(list(plain.parameters()))
    batch = batch_of(plain, 3, 10)
    assert set(plain.predict_step(batch, 0)) == {"index", "probability"}


def test_a_checkpoint_of_before_there_was_any_loads_as_ever(tmp_path: Path) -> None:
    older = network(None)
    hyper_parameters = {n: v for n, v in older.hyperparameter_state()["hyper_parameters"].items() if n != "postprocess"}
    state = {**older.hyperparameter_state(), "hyper_parameters": hyper_parameters}
    torch.save({"state_dict": older.state_dict(), **state}, tmp_path / "model.ckpt")
    loaded = DeepKnowledgeTracing.load_from_checkpoint(tmp_path / "model.ckpt").eval()
    inputs = older.export_inputs(2, 5, seed=0)
    assert not loaded.is_postprocessed
    assert torch.equal(loaded(**inputs), older(**inputs))


class OfItems(torch.nn.Module):
    """A network whose logit is a function of the item alone."""

    difficulty = None

    def forward(self, items: torch.Tensor, skills: torch.Tensor, responses: torch.Tensor) -> torch.Tensor:
        return items.float() / 5.0 - 2.0


def test_it_is_fitted_to_the_scored_answers_of_all_batches_and_applied_to_every_answer() -> None:
    model = network(AFFINE)
    batches = [batch_of(model, 40, 20), batch_of(model, 25, 9)]
    model.network = OfItems()  # type: ignore[assignment]
    source = torch.Generator().manual_seed(4)
    for batch in batches:
        truth = torch.sigmoid(0.5 * (batch["items"].float() / 5.0 - 2.0) - 0.8)
        # what is not scored says the opposite: taking it along would show
        batch["responses"] = ((torch.rand(truth.shape, generator=source) < truth) == batch["scored"]).float()
    told = model.fit_postprocessor(batches)
    logit, label = (
        np.concatenate([v[b["scored"]].numpy().astype(np.float64) for b, v in own])
        for own in (
            [(b, b["items"].float() / 5.0 - 2.0) for b in batches],
            [(b, b["responses"]) for b in batches],
        )
    )
    reference = LogisticRegression(C=np.inf, tol=1e-10, solver="newton-cholesky").fit(logit[:, None], label)
    slope, intercept = float(reference.coef_[0, 0]), float(reference.intercept_[0])
    assert (told["status"], told["answers"], told["by"]) == ("ok", len(label), "")
    assert [told["slope"], told["intercept"]] == pytest.approx([slope, intercept], abs=1e-5)
    batch = batches[1]
    found = model.predict_step(batch, 0)
    raw = batch["items"][batch["mask"]].float() / 5.0 - 2.0
    assert torch.allclose(found["raw_probability"], torch.sigmoid(raw), atol=1e-6)
    assert torch.allclose(found["probability"], torch.sigmoid(slope * raw + intercept), atol=1e-5)


def test_the_exported_graph_answers_as_torch_does(tmp_path: Path) -> None:
    import onnxruntime

    model = network(AFFINE)
    assert model.affine is not None
    model.affine.set(0.37, 1.25)
    write_onnx(model, tmp_path / "model.onnx", opset=20, metadata={})
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert [one.name for one in session.get_inputs()] == ["items", "skills", "responses"]
    inputs = model.export_inputs(4, 11, seed=9)
    (found,) = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    with torch.no_grad():
        assert np.abs(found - model(**inputs).numpy()).max() < 1e-6
        raw = torch.sigmoid(
            model.logits(**{f"{n}_{d}": v for (n, v), d in zip(inputs.items(), ("BT", "BTK", "BT"), strict=True)})
        )
    assert np.abs(found - raw.numpy()).max() > 0.05


@pytest.mark.parametrize(
    ("kind", "values", "told"),
    [
        (KnowledgeTracingTrainConfig, {"kind": "threshold"}, "expected 'none', 'affine' or 'affine_by_group'"),
        (KnowledgeTracingTrainConfig, {"kind": "affine", "by": "gender"}, "postprocess.by: unknown key"),
        (KnowledgeTracingTrainConfig, {"min_scored": 5}, "min_scored is 5; expected at least 20"),
        (TrainConfig, {"kind": "affine"}, "postprocess: unknown key"),
    ],
)
def test_what_there_is_not_is_refused(kind: type[Any], values: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        make_config(kind, {"postprocess": values})


def test_the_writing_applications_have_none() -> None:
    for name in ("essay_grading", "short_answer"):
        with pytest.raises(ConfigError, match=r"train\.postprocess: unknown key"):
            load_application(name).configuration("small", ["train.postprocess.kind=affine"])


@pytest.mark.slow
def test_from_training_to_a_release(released: Released) -> None:
    overrides = (*released.summary.request.overrides, "train.postprocess.kind=affine")
    lines: list[str] = []
    run, config = open_application(
        "knowledge_tracing", "small", overrides, settings=released.settings, say=lines.append
    )
    before, store = released.summary.outcome, released.store
    checkpoint = run(train, before.dataset, config.train)
    assert any("Answers are mapped for everybody alike" in line for line in lines)
    states = [
        torch.load(store.folder(one) / "model.ckpt", weights_only=True)["state_dict"]
        for one in (before.checkpoint, checkpoint)
    ]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    fitted = json.loads((store.folder(checkpoint) / "postprocess.json").read_text())
    assert float(states[1]["affine.slope"]) == pytest.approx(fitted["slope"], rel=1e-6)
    assert fitted["log_loss_after"] < fitted["log_loss_before"]

    evaluation = run(evaluate, before.dataset, checkpoint, config.evaluate)
    scores = json.loads((store.folder(evaluation) / "metrics.json").read_text())
    told = scores["mitigation"]
    plain = json.loads((store.folder(before.evaluation) / "metrics.json").read_text())
    assert "mitigation" not in plain
    for title, report in (("before", plain), ("after", scores)):  # as measured without this, on the same students
        for measure in ("auc", "log_loss", "brier", "accuracy"):
            assert told[title][measure]["value"] == pytest.approx(report["metrics"][measure], abs=6e-5)
            assert [told[title][measure]["low"], told[title][measure]["high"]] == pytest.approx(
                report["intervals"][measure], abs=6e-5
            )
        assert told[title]["ece"] == report["ece"]
    kept = pl.read_parquet(store.folder(evaluation) / "predictions.parquet")
    old = pl.read_parquet(store.folder(before.evaluation) / "predictions.parquet")
    assert np.abs(kept["raw_probability"].to_numpy() - old["probability"].to_numpy()).max() < 1e-6
    logit = np.log(kept["raw_probability"].to_numpy() / (1.0 - kept["raw_probability"].to_numpy()))
    by_hand = 1.0 / (1.0 + np.exp(-fitted["slope"] * logit - fitted["intercept"]))
    assert np.abs(kept["probability"].to_numpy() - by_hand).max() < 1e-5

    by_group = run(fairness, before.logs, evaluation, config.fairness)
    groups = json.loads((store.folder(by_group) / "groups.json").read_text())
    assert (groups["mitigation"]["kind"], groups["mitigation"]["by"]) == ("affine", "")
    old_groups = json.loads((store.folder(before.fairness) / "groups.json").read_text())
    assert "mitigation" not in old_groups
    own = groups["mitigation"]["attributes"]["group"]
    for title, report in (("before", old_groups), ("after", groups)):
        table = {one["group"]: one["measures"] for one in report["attributes"]["group"]["groups"]}
        assert list(table) == [one["group"] for one in own["groups"]]
        for one in own["groups"]:
            for measure, estimate in one[title].items():
                assert estimate == pytest.approx(table[one["group"]][measure], abs=0.0011), measure
    assert own["gaps_before"].keys() == old_groups["attributes"]["group"]["gaps"].keys()

    (comparison,) = comparisons_of(scores, groups)
    subjects = {row["subject"] for row in comparison["rows"]}
    assert subjects == {"all", *(f"group: {one['group']}" for one in own["groups"])}
    assert all({"subject", "measure", "before", "after", "difference"} == set(row) for row in comparison["rows"])

    model = run(export, before.dataset, checkpoint, config.export)
    application = load_application("knowledge_tracing")
    assert model.max_abs_error < 1e-5
    card = model_card(application, before.dataset, model, evaluation, by_group, scores, groups)
    assert f"log loss {told['before']['log_loss']['value']:.4f} and {told['after']['log_loss']['value']:.4f};" in card
    assert "no group attribute is used, nor asked for by the service." in card
    assert CAUTION not in card
    weights = {"attribute": "group", "method": "group", "groups": 2, "smallest_weight": 0.7, "largest_weight": 1.5}
    weighed = scores | {"reweighing": {**weights, "caution": CAUTION}}
    assert CAUTION in model_card(application, before.dataset, model, evaluation, by_group, weighed, groups)
