"""Real logs: the published split of ASSISTments 2009, and served answers against offline ones."""

import os
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import polars as pl
import pytest

from components.app import load_application
from components.evaluate.predict import predict_split
from flows.operations import run_request
from flows.request import RunRequest
from flows.settings import Settings
from flows.summary import RunSummary
from serving.run import start

pytestmark = [pytest.mark.slow, pytest.mark.e2e, pytest.mark.data]


def released_assist2009(data_folder: Path, home: Path) -> tuple[Settings, RunSummary]:
    """Run the small configuration on the published training and test files; three of its eight epochs reach the bar."""
    settings = Settings(store=str(home / "store"), cache=home / "cache", keys=home / "keys")
    folder = data_folder / "assist2009_updated"
    request = RunRequest(
        application="knowledge_tracing",
        data=(str(folder / "assist2009_updated_train.csv.gz"),),
        test_data=(str(folder / "assist2009_updated_test.csv.gz"),),
        overrides=("train.max_epochs=3",),
    )
    clock = time.process_time() + _children()
    summary = run_request(request, settings)
    print(
        f"\nassist2009_updated, small: {time.process_time() + _children() - clock:.0f} CPU s, {summary.seconds:.0f} s"
    )
    return settings, summary


def _children() -> float:
    times = os.times()
    return times.children_user + times.children_system


def test_the_published_split_is_kept_the_bar_reached_and_what_is_served_equals_what_was_evaluated(
    data_folder: Path, tmp_path: Path
) -> None:
    """One run for all three, which processes of tests do not share."""
    settings, summary = released_assist2009(data_folder, tmp_path)
    the_published_split_is_kept(summary)
    the_small_configuration_reaches_the_bar(summary)
    served_answers_equal_offline_ones_on_a_thousand_students(settings, summary)


def the_published_split_is_kept(summary: RunSummary) -> None:
    outcome = summary.outcome
    # the data's own README: 2,921 + 1,230 sequences, 325,637 answers, 110 skills, 101,419 test answers
    assert outcome.logs.rows == 325_637
    assert outcome.logs.students == 4_151
    assert outcome.logs.skills == 110
    assert outcome.logs.quarantined == 0
    assert outcome.dataset.students["test"] == 1_230
    assert outcome.dataset.steps["test"] == 101_419


def the_small_configuration_reaches_the_bar(summary: RunSummary) -> None:
    evaluation = summary.outcome.evaluation
    print(f"\nassist2009_updated, small: test AUC {evaluation.metrics['auc']:.4f} {evaluation.intervals['auc']}")
    assert evaluation.metrics["auc"] >= 0.78


def served_answers_equal_offline_ones_on_a_thousand_students(settings: Settings, summary: RunSummary) -> None:
    store, outcome = settings.open_store(), summary.outcome
    dataset = store.folder(outcome.dataset)
    offline = predict_split(load_application("knowledge_tracing"), dataset, store.folder(outcome.checkpoint), "test")
    starts = np.load(dataset / "test" / "starts.npy")
    lengths = np.load(dataset / "test" / "lengths.npy")
    students = np.load(dataset / "test" / "window_student.npy")
    first = np.flatnonzero(np.r_[True, students[1:] != students[:-1]])[:1_000]
    assert len(first) == 1_000

    names = pl.read_parquet(dataset / "students.parquet")["student"].to_list()
    logs = store.folder(outcome.logs)
    rows = pl.read_parquet(logs / "interactions.parquet").join(
        pl.read_parquet(logs / "skill_sets.parquet"), on="skill_set", maintain_order="left"
    )
    by_student = rows.partition_by("student", as_dict=True, include_key=False)
    requests: list[dict[str, Any]] = []
    for window in first:
        steps = by_student[(names[students[window]],)].head(int(lengths[window])).to_dicts()
        *past, last = [{"skills": s["skills"], "item": s["item"], "correct": float(s["correct"])} for s in steps]
        del last["correct"]
        requests.append({"history": past, "candidates": [last]})
    served: list[float] = []
    with start(store.folder(outcome.release), key_file=settings.release_key_file()) as server:
        for at in range(0, 1_000, 50):
            answer = httpx.post(f"{server.url}/v1/predict/batch", json=requests[at : at + 50], timeout=60).json()
            assert answer["release"] == outcome.release.version
            served += [a["answer"]["predictions"][0]["probability"] for a in answer["results"]]
    expected = offline[starts[first] + lengths[first] - 1]
    worst = float(np.abs(np.array(served) - expected).max())
    print(f"\nserved against offline, 1,000 students: at most {worst:.1e} apart")
    assert worst <= 1e-5
