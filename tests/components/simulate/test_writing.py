"""Simulated writing: what it writes, the same seed gives the same bytes, ingest reads it, and a grader can learn it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge
from sklearn.metrics import cohen_kappa_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline

from components.artifacts import SimulatedWriting
from components.config import make_config
from components.errors import ConfigError
from components.simulate.writing import RANGES, simulate_responses
from components.simulate.writing_config import SimulatedWriters, SimulateWritingConfig
from components.simulate.writing_stage import simulate_writing
from components.stage import Runner
from components.store import Store
from components.writing.ingest.config import WritingIngestConfig
from tests.components.writing.ingest.running import ingest_uris

SMALL = SimulateWritingConfig(students=40, seed=7)


def simulated(folder: Path, config: SimulateWritingConfig = SMALL) -> tuple[SimulatedWriting, Path]:
    store = Store(folder)
    writing = Runner(store)(simulate_writing, config)
    return writing, store.folder(writing)


def parameters_of(folder: Path) -> dict[str, Any]:  # Any: parsed JSON
    value: dict[str, Any] = json.loads((folder / "truth.json").read_text())
    return value


def test_files_have_the_layout_of_a_source_and_the_truth_apart(tmp_path: Path) -> None:
    writing, folder = simulated(tmp_path)
    responses, truth = pl.read_parquet(folder / "responses.parquet"), pl.read_parquet(folder / "truth.parquet")
    assert (writing.rows, writing.students, writing.prompts) == (120, 40, 3)
    assert responses.columns == [
        "response", "student", "prompt", "text", "score", "rater_1", "rater_2", "trait_conventions", "group_group",
    ]  # fmt: skip
    assert responses["response"].n_unique() == 120
    assert responses.group_by("student").len()["len"].unique().to_list() == [3]
    assert truth["response"].equals(responses["response"])
    own = parameters_of(folder)
    assert len(own["ability"]) == 40
    for (prompt,), rows in responses.group_by("prompt"):
        rubric = own["prompts"][prompt]
        for column in ("score", "rater_1", "rater_2"):
            assert rows[column].is_between(rubric["low"], rubric["high"]).all()
    mean = (responses["rater_1"] + responses["rater_2"]) / 2
    assert responses["score"].equals((mean + 0.5).floor().cast(pl.Int64), check_names=False)


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others(tmp_path: Path) -> None:
    first, _ = simulated(tmp_path / "a")
    again, _ = simulated(tmp_path / "b")
    other, _ = simulated(tmp_path / "c", SimulateWritingConfig(students=40, seed=8))
    assert first.sha256 == again.sha256 != other.sha256


def test_more_students_leave_the_first_ones_writing_and_scores_alone() -> None:
    few, many = (simulate_responses(SimulateWritingConfig(students=n, seed=7, groups=())) for n in (3, 5))
    assert few.group_S.tolist() == [-1] * 3
    assert few.texts == many.texts[:9]
    assert few.raters_N2.tolist() == many.raters_N2[:9].tolist()


def test_ingest_reads_it_whole_with_the_rubrics_of_the_truth(tmp_path: Path) -> None:
    _, folder = simulated(tmp_path)
    prompts = parameters_of(folder)["prompts"]
    config = make_config(WritingIngestConfig, {"prompts": prompts})
    outcome = ingest_uris(tmp_path / "ingest", [str(folder / "responses.parquet")], config)
    assert (outcome.writing.rows, outcome.writing.students, outcome.writing.quarantined) == (120, 40, 0)
    assert outcome.writing.groups == ("group",)
    assert outcome.writing.traits == ("conventions",)
    assert {name: p["range_from"] for name, p in outcome.prompts.items()} == dict.fromkeys(prompts, "configuration")
    assert outcome.prompts["rivers"]["text"].startswith("Explain how a river")
    assert outcome.report["texts"]["repeated"] == 0


def test_a_grader_of_words_learns_the_scores_nearly_as_well_as_raters_agree() -> None:
    simulation = simulate_responses(SimulateWritingConfig(students=300, prompts=1, seed=3))
    score, raters = simulation.score_N, simulation.raters_N2
    low, high = RANGES[0]
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), Ridge(0.3))
    raw = cross_val_predict(model, list(simulation.texts), score, cv=5)
    rounded = np.clip(np.floor(raw + 0.5), low, high).astype(int)
    labels = range(low, high + 1)
    learned = cohen_kappa_score(score, rounded, weights="quadratic", labels=labels)
    between = cohen_kappa_score(raters[:, 0], raters[:, 1], weights="quadratic", labels=labels)
    assert 0.7 < between < 0.95
    assert learned > 0.6
    words = np.array([len(text.split()) for text in simulation.texts])
    assert np.corrcoef(words, simulation.quality_N)[0, 1] > 0.6


def test_a_planted_severity_lowers_a_groups_scores_and_not_its_writing() -> None:
    groups = (SimulatedWriters(name="x", share=0.5, severity=0.8), SimulatedWriters(name="y", share=0.5))
    planted = simulate_responses(SimulateWritingConfig(students=400, prompts=1, groups=groups))
    plain = simulate_responses(
        SimulateWritingConfig(
            students=400,
            prompts=1,
            groups=(SimulatedWriters(name="x", share=0.5), SimulatedWriters(name="y", share=0.5)),
        )
    )
    is_x = planted.group_S[planted.student_N] == 0
    assert planted.texts == plain.texts
    assert (planted.raters_N2[~is_x] == plain.raters_N2[~is_x]).all()
    assert plain.score_N[is_x].mean() - planted.score_N[is_x].mean() > 0.4


def test_short_answers_say_some_of_what_the_reference_answer_says(tmp_path: Path) -> None:
    config = SimulateWritingConfig(students=100, prompts=2, kind="short_answers", seed=2)
    _, folder = simulated(tmp_path, config)
    prompts = parameters_of(folder)["prompts"]
    assert {(its["low"], its["high"]) for its in prompts.values()} == {(0.0, 2.0)}
    outcome = ingest_uris(
        tmp_path / "ingest",
        [str(folder / "responses.parquet")],
        make_config(WritingIngestConfig, {"prompts": prompts}),
    )
    assert outcome.prompts["rivers"]["reference_answers"] == prompts["rivers"]["reference_answers"]
    simulation = simulate_responses(config)
    assert 5 < np.median([len(text.split()) for text in simulation.texts]) < 30
    reference = [
        set(its["reference_answers"][0].lower().strip(".").replace(",", "").split()) for its in prompts.values()
    ]
    of_prompt = dict(zip(prompts, reference, strict=True))
    names = [simulation.prompts[p].name for p in simulation.prompt_N.tolist()]
    shared = [
        len(of_prompt[name] & set(text.lower().strip(".").split())) / len(of_prompt[name])
        for name, text in zip(names, simulation.texts, strict=True)
    ]
    assert np.corrcoef(shared, simulation.quality_N)[0, 1] > 0.6


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"students": 0}, "students is 0"),
        ({"prompts": 7}, "expected 1 to 6"),
        ({"kind": "poems"}, "kind"),
        ({"sentences_min": 5, "sentences_max": 4}, "below sentences_min"),
        ({"rater_sd": -1}, "rater_sd is -1"),
        ({"groups": [{"name": "a", "share": 0.5}]}, "add up to 0.5"),
        ({"groups": [{"name": "a", "share": 0.5}, {"name": "a", "share": 0.5}]}, "repeats a name"),
    ],
)
def test_what_cannot_be_simulated_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make_config(SimulateWritingConfig, values)
