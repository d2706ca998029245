"""The stage from a dataset and a checkpoint on disk to metrics.json and predictions.parquet."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, brier_score_loss, log_loss, roc_auc_score

from components.app import Application
from components.artifacts import Checkpoint, Evaluation, SequenceDataset
from components.errors import GateStoppedError, NotEnoughDataError, SchemaError
from components.evaluate.baselines import baselines_of
from components.evaluate.config import EvaluateConfig
from components.evaluate.sequences import read_split
from components.evaluate.stage import evaluate
from components.gate.decision import findings_of, worst_of
from components.mitigation.affine import Affine
from components.mitigation.postprocess import write_postprocess
from components.stage import Runner, StageEvent
from components.store import Store

pytestmark = pytest.mark.usefixtures("fake_trainer")

MakeCheckpoint = Callable[[npt.NDArray[np.float32]], Checkpoint]


@pytest.fixture
def probability(store: Store, dataset: SequenceDataset) -> npt.NDArray[np.float32]:
    """Better than chance and never tied with another."""
    label = np.load(store.folder(dataset) / "test" / "responses.npy")
    source = np.random.default_rng(3)
    return np.asarray(np.clip(source.normal(0.45 + 0.2 * label, 0.15), 0.02, 0.98), np.float32)


@pytest.fixture
def runner(store: Store, application: Application) -> Runner:
    return Runner(store, application)


def read(store: Store, evaluation: Evaluation) -> tuple[dict[str, Any], pl.DataFrame]:
    folder = store.folder(evaluation)
    return json.loads((folder / "metrics.json").read_text()), pl.read_parquet(folder / "predictions.parquet")


def test_predictions_are_kept_for_every_step_in_the_datasets_order(
    runner: Runner,
    store: Store,
    dataset: SequenceDataset,
    checkpoint_of: MakeCheckpoint,
    probability: npt.NDArray[np.float32],
) -> None:
    _, table = read(store, runner(evaluate, dataset, checkpoint_of(probability), EvaluateConfig(min_scored=50)))
    assert table.schema == {
        "student": pl.String,
        "position": pl.UInt32,
        "scored": pl.Boolean,
        "label": pl.Float32,
        "probability": pl.Float32,
    }
    folder = store.folder(dataset) / "test"
    assert table["probability"].to_list() == probability.tolist()
    assert table["label"].to_list() == np.load(folder / "responses.npy").tolist()
    assert table["position"].to_list() == np.load(folder / "position.npy").tolist()
    # students 40 to 59 were held out; windows of ten open at positions 0, 10, 20, 30
    assert sorted(set(table["student"])) == [f"{i:032x}" for i in range(40, 60)]
    assert table["scored"].to_list() == [position % 10 != 0 for position in table["position"]]


def test_metrics_are_scikit_learns_on_the_scored_rows(
    runner: Runner,
    store: Store,
    dataset: SequenceDataset,
    checkpoint_of: MakeCheckpoint,
    probability: npt.NDArray[np.float32],
) -> None:
    evaluation = runner(evaluate, dataset, checkpoint_of(probability), EvaluateConfig(min_scored=50))
    report, table = read(store, evaluation)
    scored = table.filter("scored")
    y, p = scored["label"].to_numpy(), scored["probability"].to_numpy().astype(np.float64)
    expected = {
        "auc": roc_auc_score(y, p),
        "accuracy": accuracy_score(y, p >= 0.5),
        "log_loss": log_loss(y, p),
        "brier": brier_score_loss(y, p),
    }
    assert evaluation.metrics == pytest.approx(expected, abs=1e-12)
    assert report["metrics"] == pytest.approx(expected, abs=1e-12)
    assert report["base_rate"] == pytest.approx(y.mean())
    assert (evaluation.scored, evaluation.students) == (len(y), scored["student"].n_unique())
    assert report["counts"]["scored"] == len(y)
    assert report["counts"]["steps"] == len(table)
    assert report["protocol"] == evaluation.protocol == "problem"
    for name, (low, high) in evaluation.intervals.items():
        assert low < expected[name] < high
        assert report["intervals"][name] == [low, high]
    assert set(evaluation.intervals) == set(expected)


def test_heuristics_are_scored_on_the_same_rows_and_say_their_formula(
    runner: Runner,
    store: Store,
    dataset: SequenceDataset,
    checkpoint_of: MakeCheckpoint,
    probability: npt.NDArray[np.float32],
) -> None:
    report, table = read(store, runner(evaluate, dataset, checkpoint_of(probability), EvaluateConfig(min_scored=50)))
    train = store.folder(dataset) / "train"
    skills, right = np.load(train / "skills.npy"), np.load(train / "responses.npy").astype(np.float64)
    means = {
        key: (right[rows].sum() + 5 * right.mean()) / (rows.sum() + 5)
        for key in {tuple(s) for s in skills.tolist()}
        for rows in [(skills == key).all(axis=1)]
    }
    asked = np.load(store.folder(dataset) / "test" / "skills.npy")
    guess = np.array([means.get(tuple(s), right.mean()) for s in asked.tolist()])
    rows = table["scored"].to_numpy()
    expected = roc_auc_score(table["label"].to_numpy()[rows], guess[rows])
    assert report["baselines"]["skill_mean"]["metrics"]["auc"] == pytest.approx(expected, abs=1e-12)
    assert "5 * base" in report["baselines"]["skill_mean"]["formula"]
    # students differ in ability here, so knowing the student's past must help
    assert report["baselines"]["skill_and_student_mean"]["metrics"]["auc"] > expected


def published_with(
    store: Store, dataset: SequenceDataset, folder: Path, protocol: str, arrays: dict[str, npt.NDArray[Any]]
) -> SequenceDataset:
    """Publish the dataset again under another protocol and with other arrays (`split/name`)."""
    source = store.folder(dataset)
    for path in sorted(p for p in source.rglob("*") if p.is_file() and p.name != "manifest.json"):
        (folder / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
        (folder / path.relative_to(source)).write_bytes(path.read_bytes())
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return store.publish(dataclasses.replace(dataset, protocol=protocol), folder)


def test_every_baseline_is_scored_on_the_same_rows_with_intervals_and_differences(
    runner: Runner,
    store: Store,
    dataset: SequenceDataset,
    checkpoint_of: MakeCheckpoint,
    probability: npt.NDArray[np.float32],
) -> None:
    report, table = read(store, runner(evaluate, dataset, checkpoint_of(probability), EvaluateConfig(min_scored=50)))
    assert list(report["baselines"]) == ["skill_mean", "skill_and_student_mean", "pfa", "best_lr"]
    names = {"auc", "accuracy", "log_loss", "brier"}
    for found in report["baselines"].values():
        assert set(found["metrics"]) == set(found["intervals"]) == set(found["differences"]) == names
        for name in names:
            low, high = found["intervals"][name]
            assert low <= found["metrics"][name] <= high
            value = report["metrics"][name] - found["metrics"][name]
            assert found["differences"][name]["value"] == pytest.approx(value, abs=1e-12)
    best = max(report["baselines"], key=lambda n: report["baselines"][n]["metrics"]["auc"])
    assert report["comparison"]["baseline"] == best
    # the model's probabilities were drawn around the labels themselves
    assert report["comparison"]["verdict"] == "better"
    assert report["warnings"] == []
    assert report["repeats"] == {"scored": 0, "meaning": report["repeats"]["meaning"]}
    assert "one row for each answer" in report["repeats"]["meaning"]
    assert report["without_repeats"] is None
    assert (
        f"fitted on {len(np.load(store.folder(dataset) / 'train' / 'responses.npy'))}"
        in (report["baselines"]["best_lr"]["formula"])
    )
    assert len(table) == report["counts"]["steps"]


def test_a_model_no_better_than_logistic_regression_is_warned_of_and_not_stopped(
    store: Store, application: Application, dataset: SequenceDataset, checkpoint_of: MakeCheckpoint
) -> None:
    steps = len(np.load(store.folder(dataset) / "test" / "responses.npy"))
    guess = np.random.default_rng(1).random(steps).astype(np.float32)
    lines: list[str] = []
    runner = Runner(store, application, say=lines.append)
    report, _ = read(store, runner(evaluate, dataset, checkpoint_of(guess), EvaluateConfig(min_scored=50)))
    assert report["comparison"]["verdict"] == "not_better"
    assert report["warnings"] == [report["comparison"]["sentence"]]
    assert f"warning: {report['comparison']['sentence']}" in lines


def test_under_a_row_per_skill_the_scores_without_repeats_stand_beside_all(
    runner: Runner,
    store: Store,
    dataset: SequenceDataset,
    checkpoint_of: MakeCheckpoint,
    probability: npt.NDArray[np.float32],
    tmp_path: Path,
) -> None:
    folder = store.folder(dataset)
    arrays = {}
    for split in ("train", "test"):
        steps = len(np.load(folder / split / "responses.npy"))
        arrays[f"{split}/items"] = (2 + np.arange(steps) // 2 % 30).astype(np.int32)  # each item twice in a row
    old = published_with(store, dataset, tmp_path / "old", "row_per_skill", arrays)
    evaluation = runner(evaluate, old, checkpoint_of(probability), EvaluateConfig(min_scored=50))
    report, table = read(store, evaluation)
    assert report["protocol"] == evaluation.protocol == "row_per_skill"
    items, student = pl.Series(arrays["test/items"]), table["student"]
    repeat = ((items == items.shift(1)) & (student == student.shift(1))).fill_null(False)
    kept = table.filter(table["scored"] & ~repeat)
    found = report["without_repeats"]
    assert report["repeats"]["scored"] == int((table["scored"] & repeat).sum()) > 50
    assert found["counts"]["scored"] == len(kept) == report["counts"]["scored"] - report["repeats"]["scored"]
    assert found["metrics"]["auc"] == pytest.approx(roc_auc_score(kept["label"], kept["probability"]), abs=1e-12)
    low, high = found["intervals"]["auc"]
    assert low < found["metrics"]["auc"] < high
    assert set(found["baselines"]) == set(report["baselines"])
    assert found["baselines"]["best_lr"]["metrics"] != report["baselines"]["best_lr"]["metrics"]
    assert "row_per_skill" in report["warnings"][0]
    # the evaluation's own figures stay those over all rows
    assert evaluation.metrics == report["metrics"]


def test_without_problem_ids_repeats_are_said_to_be_unknown(
    runner: Runner,
    store: Store,
    dataset: SequenceDataset,
    checkpoint_of: MakeCheckpoint,
    probability: npt.NDArray[np.float32],
    tmp_path: Path,
) -> None:
    given = published_with(store, dataset, tmp_path / "given", "row_as_given", {})
    report, _ = read(store, runner(evaluate, given, checkpoint_of(probability), EvaluateConfig(min_scored=50)))
    assert (report["repeats"]["scored"], report["without_repeats"]) == (None, None)
    assert "no problem ids" in report["repeats"]["meaning"]


def test_the_held_out_answers_do_not_touch_the_fit(store: Store, dataset: SequenceDataset, tmp_path: Path) -> None:
    """Flip the test students' last answers: no prediction of a baseline may move, as only later counts could."""
    folder = store.folder(dataset) / "test"
    responses, lengths = np.load(folder / "responses.npy"), np.load(folder / "lengths.npy")
    last = (np.load(folder / "starts.npy") + lengths - 1)[
        np.diff(np.load(folder / "window_student.npy"), append=-1) != 0
    ]
    responses[last] = 1 - responses[last]
    flipped = published_with(store, dataset, tmp_path / "flipped", "problem", {"test/responses": responses})
    before, after = (
        baselines_of(read_split(store.folder(d), "train"), read_split(store.folder(d), "test"))
        for d in (dataset, flipped)
    )
    assert len(last) == 20
    for name, found in before.items():
        assert found.probability.tolist() == after[name].probability.tolist()


def test_students_predicted_some_at_a_time_get_the_same_predictions(
    store: Store, dataset: SequenceDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, test = (read_split(store.folder(dataset), name) for name in ("train", "test"))
    found = []
    for steps in (500_000, 25):
        monkeypatch.setattr("components.evaluate.baselines.STEPS_AT_ONCE", steps)
        found.append({name: b.probability.tolist() for name, b in baselines_of(train, test).items()})
    assert found[0] == found[1]


def test_the_same_inputs_give_the_same_artifact(
    store: Store,
    application: Application,
    dataset: SequenceDataset,
    checkpoint_of: MakeCheckpoint,
    probability: npt.NDArray[np.float32],
) -> None:
    model, config = checkpoint_of(probability), EvaluateConfig(min_scored=50)
    once = Runner(store, application)(evaluate, dataset, model, config)
    again = Runner(store, application, refresh=("evaluate",))(evaluate, dataset, model, config)
    assert again.sha256 == once.sha256


def test_a_crossed_limit_stops_the_run_but_keeps_the_evaluation(
    runner: Runner,
    store: Store,
    dataset: SequenceDataset,
    checkpoint_of: MakeCheckpoint,
    probability: npt.NDArray[np.float32],
) -> None:
    limits = EvaluateConfig(min_scored=50, min_auc=0.99, max_log_loss=0.01)
    with pytest.raises(GateStoppedError, match=r"auc is 0\.\d{4}, the limit is at least 0.99; log_loss is .*0.01"):
        runner(evaluate, dataset, checkpoint_of(probability), limits)
    kept = [p for p in (Path(store.url) / "artifacts").iterdir() if (p / "metrics.json").is_file()]
    assert len(kept) == 1
    assert len(json.loads((kept[0] / "metrics.json").read_text())["limits"]["crossed"]) == 2


def test_a_crossed_limit_is_only_written_down_with_flag_and_a_kept_limit_is_silent(
    store: Store,
    application: Application,
    dataset: SequenceDataset,
    checkpoint_of: MakeCheckpoint,
    probability: npt.NDArray[np.float32],
) -> None:
    lines: list[str] = []
    runner = Runner(store, application, say=lines.append)
    model = checkpoint_of(probability)
    flagged = runner(evaluate, dataset, model, EvaluateConfig(min_scored=50, min_auc=0.99, on_fail="flag"))
    assert "at least 0.99" in read(store, flagged)[0]["limits"]["crossed"][0]
    worst = findings_of(read(store, flagged)[0])[0]
    assert (worst.check, worst.measure, worst.outcome, worst.limit) == ("level", "auc", "stop", 0.99)
    assert worst.value == flagged.metrics["auc"]
    assert (worst.low, worst.high) == flagged.intervals["auc"]
    mild = runner(evaluate, dataset, model, EvaluateConfig(min_scored=50, min_auc=0.99, severity={"min_auc": "warn"}))
    assert worst_of(findings_of(read(store, mild)[0])) == "warn"
    assert any("limit crossed" in line for line in lines)
    lines.clear()
    kept = runner(evaluate, dataset, model, EvaluateConfig(min_scored=50, min_auc=0.55, max_log_loss=1.0))
    assert read(store, kept)[0]["limits"]["crossed"] == []
    assert not any("limit crossed" in line for line in lines)


def test_a_model_of_weighed_rows_is_told_with_a_caution(
    store: Store,
    application: Application,
    dataset: SequenceDataset,
    checkpoint_of: MakeCheckpoint,
    probability: npt.NDArray[np.float32],
    tmp_path: Path,
) -> None:
    (tmp_path / "weighed").mkdir()
    (tmp_path / "weighed" / "reweighing.json").write_text('{"attribute": "gender"}')
    weighed = published_with(store, dataset, tmp_path / "weighed", "problem", {})
    lines: list[str] = []
    runner = Runner(store, application, say=lines.append)
    told = read(store, runner(evaluate, weighed, checkpoint_of(probability), EvaluateConfig(min_scored=50)))[0]
    assert told["reweighing"]["attribute"] == "gender"
    assert any(line.startswith("warning: In some places") and "law or policy restricts" in line for line in lines)
    lines.clear()
    runner(evaluate, dataset, checkpoint_of(probability), EvaluateConfig(min_scored=50))
    assert lines
    assert not any("law or policy" in line for line in lines)


def test_a_map_that_was_asked_for_and_not_fitted_is_a_warning_for_the_gate(
    store: Store,
    application: Application,
    dataset: SequenceDataset,
    checkpoint_of: MakeCheckpoint,
    probability: npt.NDArray[np.float32],
    tmp_path: Path,
) -> None:
    plain = checkpoint_of(probability)
    folder = tmp_path / "mapped"
    folder.mkdir()
    (folder / "model.ckpt").write_bytes((store.folder(plain) / "model.ckpt").read_bytes())
    write_postprocess(folder, Affine(reason="the validation split has 7 scored answers", answers=7).to_json())
    lines: list[str] = []
    runner = Runner(store, application, say=lines.append)
    evaluation = runner(evaluate, dataset, store.publish(plain, folder), EvaluateConfig(min_scored=50))
    report, table = read(store, evaluation)
    assert report["mitigation"]["status"] == "not_fitted"
    assert "before" not in report["mitigation"]
    assert "raw_probability" not in table.columns
    told = "was not fitted: the validation split has 7 scored answers; they stay as they are."
    assert any(line.startswith("warning: ") and line.endswith(told) for line in lines)
    assert any(f.outcome == "warn" and f.reason.endswith(told) for f in findings_of(report))


def test_too_few_answers_raise_before_anything_is_predicted(
    runner: Runner, dataset: SequenceDataset, checkpoint_of: MakeCheckpoint
) -> None:
    with pytest.raises(NotEnoughDataError, match=r"min_scored asks for 100000"):
        runner(evaluate, dataset, checkpoint_of(np.zeros(1, np.float32)), EvaluateConfig(min_scored=100_000))


def test_a_window_of_a_student_who_is_not_listed_is_refused(
    runner: Runner,
    store: Store,
    dataset: SequenceDataset,
    checkpoint_of: MakeCheckpoint,
    probability: npt.NDArray[np.float32],
    tmp_path: Path,
) -> None:
    folder = tmp_path / "short"
    source = store.folder(dataset)
    for path in sorted(p for p in source.rglob("*") if p.is_file() and p.name != "manifest.json"):
        (folder / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
        (folder / path.relative_to(source)).write_bytes(path.read_bytes())
    pl.read_parquet(folder / "students.parquet").head(50).write_parquet(folder / "students.parquet")
    short = store.publish(dataset, folder)
    with pytest.raises(SchemaError, match=r"goes from 40 to 59; students.parquet has 50 rows"):
        runner(evaluate, short, checkpoint_of(probability), EvaluateConfig(min_scored=50))


def test_a_second_run_finds_the_result(
    store: Store,
    application: Application,
    dataset: SequenceDataset,
    checkpoint_of: MakeCheckpoint,
    probability: npt.NDArray[np.float32],
) -> None:
    events: list[StageEvent] = []
    model = checkpoint_of(probability)
    for _ in range(2):
        Runner(store, application, observe=events.append)(evaluate, dataset, model, EvaluateConfig(min_scored=50))
    assert [e.status for e in events] == ["started", "finished", "skipped"]


@pytest.mark.parametrize("module", ["components.evaluate.stage", "components.fairness.stage"])
def test_importing_the_stage_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(sorted({{'torch', 'polars', 'sklearn', 'prefect'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_calibration_curves_and_skills_stand_beside_the_metrics(
    runner: Runner,
    store: Store,
    dataset: SequenceDataset,
    checkpoint_of: MakeCheckpoint,
    probability: npt.NDArray[np.float32],
) -> None:
    config = EvaluateConfig(min_scored=50)
    report, table = read(store, runner(evaluate, dataset, checkpoint_of(probability), config))
    rows = table.filter("scored")
    y, p = rows["label"].to_numpy(), rows["probability"].to_numpy().astype(np.float64)
    bins = np.minimum((p * 10).astype(int), 9)
    ece = sum(abs((p - y)[bins == b].sum()) for b in range(10)) / len(y)
    assert report["ece"]["value"] == pytest.approx(ece, abs=1e-4)
    assert report["ece"]["low"] <= report["ece"]["value"] <= report["ece"]["high"]
    assert report["balanced_accuracy"]["value"] == pytest.approx(balanced_accuracy_score(y, p >= 0.5), abs=1e-4)
    assert report["useless"] is None
    assert report["curves"]["roc"][0] == [0, 0]
    assert report["curves"]["roc"][-1] == [1, 1]
    shown = [b for b in report["curves"]["reliability"] if "n" in b]
    for one in shown:
        inside = bins == round(one["low"] * 10)
        assert one["n"] == inside.sum()
        assert one["mean_label"] == round(float(y[inside].mean()), 3)
    folder = store.folder(dataset) / "test"
    scored = np.load(folder / "scored.npy")
    skills = np.load(folder / "skills.npy")[scored]
    known = np.unique(skills[skills > 0])
    assert len(report["skills"]) + report["skills_too_few"] == len(known)
    assert report["skills"]
    for one in report["skills"]:
        has = (skills == int(one["skill"])).any(axis=1)  # the fake codec names no skills: indices stand for them
        assert one["scored"] == has.sum()
        assert one["students"] == len(set(rows["student"].to_numpy()[has]))
        assert one["students"] >= 10
        assert one["measures"]["accuracy"]["value"] == pytest.approx(np.mean(y[has] == (p[has] >= 0.5)), abs=1e-4)
        if one["measures"]["auc"]["status"] == "ok":
            assert one["measures"]["auc"]["value"] == pytest.approx(roc_auc_score(y[has], p[has]), abs=1e-4)
    sizes = [one["scored"] for one in report["skills"]]
    assert sizes == sorted(sizes, reverse=True)


def test_a_constant_model_is_called_useless_in_the_evaluation(
    runner: Runner, store: Store, dataset: SequenceDataset, checkpoint_of: MakeCheckpoint
) -> None:
    steps = len(np.load(store.folder(dataset) / "test" / "responses.npy"))
    config = EvaluateConfig(min_scored=50)
    report, _ = read(store, runner(evaluate, dataset, checkpoint_of(np.full(steps, 0.7, np.float32)), config))
    assert report["useless"].startswith("The model is useless: it gives every answer the same probability.")


def test_skills_of_few_students_show_nothing_and_all_do_where_a_person_would_be_seen(
    runner: Runner,
    store: Store,
    dataset: SequenceDataset,
    checkpoint_of: MakeCheckpoint,
    probability: npt.NDArray[np.float32],
) -> None:
    config = EvaluateConfig(min_scored=50, min_students=21)  # 20 students are held out
    report, _ = read(store, runner(evaluate, dataset, checkpoint_of(probability), config))
    assert report["skills"] == []
    assert report["skills_too_few"] > 0
    assert report["curves"]["distribution"] == [None] * 10
