"""The stage from a dataset and a checkpoint on disk to metrics.json and predictions.parquet, on the real trainer."""

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
from sklearn.metrics import cohen_kappa_score

from components.artifacts import Checkpoint, Evaluation, TextDataset
from components.errors import GateStoppedError, NotEnoughDataError, SchemaError
from components.gate.decision import findings_of
from components.stage import Runner
from components.store import Store
from components.writing.evaluate.config import WritingEvaluateConfig
from components.writing.evaluate.dataset import read_split
from components.writing.evaluate.stage import evaluate
from tests.components.writing.evaluate.made_up import PROMPTS, Responses, simulated, write_dataset

MakeCheckpoint = Callable[..., Checkpoint]
Floats = npt.NDArray[np.float64]
OPEN = WritingEvaluateConfig(resamples=50, on_fail="flag")


def answers(seed: int = 2, rows: int = 300) -> dict[str, Floats]:
    """Return what a good model would say of `simulated(rows, seed)`: raw scores, intervals, and the trait."""
    found, truth = simulated(rows, seed)
    source = np.random.default_rng(seed + 50)
    raw = truth + source.normal(0, 0.15, rows)
    for p in range(3):  # scores are rounded up from two ratings, so that the truth lies a little below them
        raw[found.prompt == p] += np.mean((found.score - raw)[found.prompt == p])
    style = source.normal(1.5, 1, (rows, 1))
    return {"raw": raw, "low": raw - 1.0, "high": raw + 1.0, "traits": style}


def read(store: Store, evaluation: Evaluation) -> tuple[dict[str, Any], pl.DataFrame]:
    folder = store.folder(evaluation)
    return json.loads((folder / "metrics.json").read_text()), pl.read_parquet(folder / "predictions.parquet")


def test_predictions_are_kept_for_every_response_in_the_datasets_order(
    runner: Runner, store: Store, dataset: TextDataset, checkpoint_of: MakeCheckpoint
) -> None:
    given = answers()
    _, table = read(store, runner(evaluate, dataset, checkpoint_of(**given), OPEN))
    assert table.schema == {
        "response": pl.String,
        "student": pl.String,
        "prompt": pl.String,
        "score": pl.Float64,
        "rater_1": pl.Float64,
        "rater_2": pl.Float64,
        "prediction": pl.Float64,
        "rounded": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "abstained": pl.String,
        "trait_style": pl.Float64,
    }
    split = read_split(store.folder(dataset), "test")
    assert table["response"].to_list() == split.table["response"].to_list()
    assert table["score"].to_list() == split.score.tolist()
    low, high, step = (
        np.array([getattr(s.score, name) for s in split.scales])[split.prompt] for name in ("low", "high", "step")
    )
    assert table["prediction"].to_list() == np.clip(given["raw"], low, high).tolist()
    rounded = np.clip(low + np.floor((given["raw"] - low) / step + 0.5) * step, low, high)
    assert table["rounded"].to_list() == rounded.tolist()
    assert table["low"].to_list() == np.clip(given["low"], low, high).tolist()


def test_the_artifact_and_the_file_say_the_same_and_what_scikit_learn_says(
    runner: Runner, store: Store, dataset: TextDataset, checkpoint_of: MakeCheckpoint
) -> None:
    evaluation = runner(evaluate, dataset, checkpoint_of(**answers()), OPEN)
    report, table = read(store, evaluation)
    names = ["qwk", "qwk_continuous", "exact", "adjacent", "pearson", "rmse", "smd", "coverage", "width"]
    assert list(report["metrics"]) == names
    kappas = []
    for name in ("1", "letter", "3"):
        own = table.filter(pl.col("prompt") == name)
        points = [(own[c].to_numpy() * 2).round().astype(int) for c in ("score", "rounded")]
        kappas.append(cohen_kappa_score(*points, weights="quadratic", labels=range(25)))
        entry = next(p for p in report["prompts"] if p["prompt"] == name)
        assert entry["metrics"]["qwk"] == pytest.approx(kappas[-1], abs=1e-9)
        assert entry["distribution"]["human"] == [
            int((own["score"] == score).sum()) for score in entry["distribution"]["scores"]
        ]
        assert sum(entry["distribution"]["model"]) == entry["counts"]["scored"] == own.height
    assert evaluation.metrics["qwk"] == pytest.approx(np.mean(kappas), abs=1e-9)
    assert report["metrics"] == evaluation.metrics
    for name, (low, high) in evaluation.intervals.items():
        assert low <= evaluation.metrics[name] <= high
        assert report["intervals"][name] == [low, high]
    assert (evaluation.scored, evaluation.students) == (300, 300)
    assert report["counts"] == {
        "responses": 300,
        "abstained": 0,
        "scored": 300,
        "students": 300,
        "double_scored": 300,
        "prompts": 3,
        "prompts_counted": 3,
    }
    assert report["protocol"] == evaluation.protocol == "scored_writing"
    assert list(report["baselines"]) == ["constant", "length"]
    assert report["comparison"]["baseline"] == "length"
    assert report["comparison"]["verdict"] == "better"
    assert report["humans"]["metrics"]["drop"] == pytest.approx(
        np.mean([p["humans"]["metrics"]["drop"] for p in report["prompts"]]), abs=1e-12
    )


def test_traits_are_judged_where_the_prompt_has_them(
    runner: Runner, store: Store, dataset: TextDataset, checkpoint_of: MakeCheckpoint
) -> None:
    given = answers()
    expected, _ = simulated(300, 2)
    assert expected.traits is not None
    given["traits"] = expected.traits.copy()  # a perfect trait model
    report, table = read(store, runner(evaluate, dataset, checkpoint_of(**given), OPEN))
    by_prompt = {p["prompt"]: p["traits"] for p in report["prompts"]}
    assert by_prompt["1"] == by_prompt["3"] == {}
    assert by_prompt["letter"]["style"]["metrics"]["qwk"] == pytest.approx(1.0)
    assert by_prompt["letter"]["style"]["metrics"]["rmse"] == pytest.approx(0.0)
    assert table.filter(pl.col("prompt") != "letter")["trait_style"].null_count() == int((expected.prompt != 1).sum())


def test_responses_that_the_codec_refuses_count_as_abstentions_and_in_no_figure(
    runner: Runner, store: Store, tmp_path: Path, checkpoint_of: MakeCheckpoint
) -> None:
    test, _ = simulated(300, 2)
    test.abstained = ["gibberish" if at % 10 == 0 else "empty" if at % 50 == 1 else None for at in range(300)]
    data = write_dataset(store, tmp_path / "d", {"train": simulated(300, 1)[0], "test": test})
    given = answers()
    given["raw"][::10] = 1e6  # what the model makes of gibberish must not show
    report, table = read(store, runner(evaluate, data, checkpoint_of(**given), OPEN))
    assert report["abstained"] == {
        "responses": 36,
        "share": 0.12,
        "reasons": {"empty": 6, "gibberish": 30},
    }
    assert report["counts"]["scored"] == 264
    assert sum(p["counts"]["abstained"] for p in report["prompts"]) == 36
    assert table["abstained"].to_list() == test.abstained
    kept = write_dataset(
        store,
        tmp_path / "e",
        {
            "train": simulated(300, 1)[0],
            "test": Responses(
                prompt=test.prompt[(rows := np.flatnonzero([a is None for a in test.abstained]))],
                score=test.score[rows],
                raters={name: values[rows] for name, values in test.raters.items()},
                features=None if test.features is None else test.features[rows],
                traits=None if test.traits is None else test.traits[rows],
            ),
        },
    )
    alone, _ = read(store, runner(evaluate, kept, checkpoint_of(**{n: v[rows] for n, v in given.items()}), OPEN))
    assert report["metrics"] == pytest.approx(alone["metrics"], abs=1e-12)


def test_when_all_are_refused_there_is_no_evaluation(
    runner: Runner, store: Store, tmp_path: Path, checkpoint_of: MakeCheckpoint
) -> None:
    test, _ = simulated(300, 2)
    test.abstained = ["off_prompt"] * 300
    data = write_dataset(store, tmp_path / "d", {"train": simulated(300, 1)[0], "test": test})
    with pytest.raises(NotEnoughDataError, match=r"has 0 responses to score \(300 in all, the others abstained from\)"):
        runner(evaluate, data, checkpoint_of(**answers()), OPEN)


def test_humans_who_give_one_score_are_no_evaluation(
    runner: Runner, store: Store, tmp_path: Path, checkpoint_of: MakeCheckpoint
) -> None:
    test, _ = simulated(300, 2)
    test.score = np.array([1.0, 6.0, 2.0])[test.prompt]
    data = write_dataset(store, tmp_path / "d", {"train": simulated(300, 1)[0], "test": test})
    with pytest.raises(NotEnoughDataError, match="In none of the 3 prompts can QWK be estimated"):
        runner(evaluate, data, checkpoint_of(**answers()), OPEN)


def test_limits_stop_the_run_and_the_evaluation_stays(
    runner: Runner, store: Store, dataset: TextDataset, checkpoint_of: MakeCheckpoint
) -> None:
    given = answers()
    given["raw"] = np.random.default_rng(0).permutation(given["raw"])  # says nothing of the response
    checkpoint = checkpoint_of(**given)
    config = WritingEvaluateConfig(resamples=50)
    with pytest.raises(GateStoppedError) as caught:
        runner(evaluate, dataset, checkpoint, config)
    message = str(caught.value)
    assert "qwk is" in message
    assert "the limit is at least 0.7" in message
    assert "lower than that of two raters on the same responses, the limit is at most 0.1" in message
    flagged = runner(evaluate, dataset, checkpoint, WritingEvaluateConfig(resamples=50, on_fail="flag"))
    report, _ = read(store, flagged)
    assert len(report["limits"]["crossed"]) >= 2
    assert report["comparison"]["sentence"] in report["warnings"]
    for word in ("te0000", "tes0000"):
        assert word not in message
        assert word not in json.dumps(report)


def test_a_harsh_model_crosses_the_limit_on_smd_by_prompt(
    runner: Runner, store: Store, dataset: TextDataset, checkpoint_of: MakeCheckpoint
) -> None:
    given = answers()
    prompt = simulated(300, 2)[0].prompt
    given["raw"] = given["raw"] - np.where(prompt == 1, 1.5, 0.0)
    report, _ = read(store, runner(evaluate, dataset, checkpoint_of(**given), OPEN))
    (line,) = [line for line in report["limits"]["crossed"] if line.startswith("smd")]
    (finding,) = [f for f in findings_of(report) if f.measure == "smd"]
    assert (finding.outcome, finding.reason, finding.limit) == ("stop", line, 0.15)
    assert line.startswith("smd is -0.")
    assert "for prompt 'letter'" in line
    assert "prompt '1'" not in line


def test_a_good_model_crosses_nothing_and_warns_of_nothing(
    runner: Runner, store: Store, dataset: TextDataset, checkpoint_of: MakeCheckpoint
) -> None:
    said: list[str] = []
    quiet = Runner(store, runner.application, say=said.append)
    report, _ = read(store, quiet(evaluate, dataset, checkpoint_of(**answers()), WritingEvaluateConfig(resamples=50)))
    assert report["limits"]["crossed"] == report["limits"]["not_judged"] == report["warnings"] == []
    assert [(f.measure, f.outcome) for f in findings_of(report)] == [
        ("qwk", "pass"),
        ("drop", "pass"),
        ("smd", "pass"),
    ]
    assert said == ["grading 300 responses of split test", "fitting baselines on 300 responses of split train"]


def test_single_ratings_leave_the_drop_unjudged_and_say_so(
    runner: Runner, store: Store, tmp_path: Path, checkpoint_of: MakeCheckpoint
) -> None:
    test, _ = simulated(300, 2)
    test.raters = {}
    data = write_dataset(store, tmp_path / "d", {"train": simulated(300, 1)[0], "test": test})
    report, table = read(store, runner(evaluate, data, checkpoint_of(**answers()), OPEN))
    assert report["humans"] is None
    assert report["limits"]["not_judged"] == [
        "the drop against humans cannot be judged: no prompt has enough responses with two ratings"
    ]
    assert report["warnings"][-1].startswith("The drop against humans cannot be judged")
    # the training split has raters, so the columns are there; the test split's are empty
    assert table["rater_1"].null_count() == 300


def test_a_model_without_intervals_has_no_coverage(
    runner: Runner, store: Store, dataset: TextDataset, checkpoint_of: MakeCheckpoint
) -> None:
    evaluation = runner(evaluate, dataset, checkpoint_of(raw=answers()["raw"]), OPEN)
    assert not {"coverage", "width"} & set(evaluation.metrics)
    report, table = read(store, evaluation)
    assert "coverage" not in report["metrics"]
    assert table["low"].null_count() == 300
    assert "trait_style" not in table.columns


def test_a_model_that_leaves_a_response_out_is_refused(
    runner: Runner, dataset: TextDataset, checkpoint_of: MakeCheckpoint
) -> None:
    raw = answers()["raw"]
    raw[5] = np.nan
    with pytest.raises(SchemaError, match="Of 300 responses, 1 have no finite raw"):
        runner(evaluate, dataset, checkpoint_of(raw=raw), OPEN)


def test_too_few_responses_are_no_evaluation(
    runner: Runner, dataset: TextDataset, checkpoint_of: MakeCheckpoint
) -> None:
    with pytest.raises(NotEnoughDataError, match=r"has 300 responses to score.*min_scored asks for 301"):
        runner(evaluate, dataset, checkpoint_of(**answers()), WritingEvaluateConfig(min_scored=301))


def test_a_small_prompt_and_a_constant_model_are_said_so(
    runner: Runner, store: Store, tmp_path: Path, checkpoint_of: MakeCheckpoint
) -> None:
    test, _ = simulated(300, 2)
    rows = np.sort(np.concatenate([np.flatnonzero(test.prompt != 2), np.flatnonzero(test.prompt == 2)[:5]]))
    few = Responses(prompt=test.prompt[rows], score=test.score[rows])
    data = write_dataset(store, tmp_path / "d", {"train": simulated(300, 1)[0], "test": few})
    raw = np.where(few.prompt == 0, 1.6, few.score)
    report, _ = read(store, runner(evaluate, data, checkpoint_of(raw=raw), OPEN))
    assert [p["status"] for p in report["prompts"]] == ["ok", "ok", "too_few"]
    assert set(report["prompts"][2]["metrics"].values()) == {None}
    text = " ".join(report["warnings"])
    assert "1 of 3 prompts have fewer than 10 scored responses" in text
    assert "In 1 of 3 prompts the model gives every response the same score" in text


def test_an_evaluation_that_is_there_loads_neither_torch_nor_polars() -> None:
    code = (
        "import sys, components.writing.evaluate.stage, components.writing.fairness.stage;"
        "print([m for m in ('torch', 'polars', 'numpy', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_prompts_with_one_rubric_are_one_where_they_are_pooled(
    runner: Runner, store: Store, tmp_path: Path, checkpoint_of: MakeCheckpoint
) -> None:
    prompts = [PROMPTS[0], {**PROMPTS[0], "prompt": "other"}, PROMPTS[1]]
    splits = {}
    for name, seed in (("train", 1), ("test", 2)):
        found, _ = simulated(300, seed, prompts=2)
        first = found.prompt == 0
        splits[name] = dataclasses.replace(found, prompt=np.where(first, np.arange(300) % 2, 2))
    data = write_dataset(store, tmp_path / "dataset", splits, prompts=prompts)
    given = {name: values for name, values in answers().items() if name != "traits"}
    human, raw = splits["test"].score, np.where(splits["test"].prompt < 2, 1.0 + np.arange(300) % 3 / 2, 7.0)
    pooled = WritingEvaluateConfig(resamples=50, on_fail="flag", pool_prompts=True)
    report, table = read(store, runner(evaluate, data, checkpoint_of(**{**given, "raw": raw}), pooled))
    assert report["pool_prompts"] is True
    assert [p["prompt"] for p in report["prompts"]] == ["all from 0 to 3", "all from 2 to 12"]
    assert set(table["prompt"]) == {"1", "other", "letter"}
    both = splits["test"].prompt < 2
    expected = cohen_kappa_score(human[both].astype(int), np.floor(raw[both] + 0.5).astype(int), weights="quadratic")
    assert report["prompts"][0]["metrics"]["qwk"] == pytest.approx(expected)


def test_a_label_is_the_score_that_counts(
    runner: Runner, store: Store, dataset: TextDataset, checkpoint_of: MakeCheckpoint
) -> None:
    given = answers()
    truth = simulated(300, 2)[0].score
    report, table = read(store, runner(evaluate, dataset, checkpoint_of(**given, label=truth), OPEN))
    assert table["rounded"].to_list() == table["score"].to_list()
    assert report["metrics"]["qwk"] == pytest.approx(1.0)
    assert report["metrics"]["pearson"] < 1.0
