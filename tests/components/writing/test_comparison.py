"""The headline of a release on held-out responses, against scikit-learn, and that refusing does not pay."""

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import cohen_kappa_score

from components.app import Application
from components.chain import HeldOut
from components.writing.comparison import answers_on_held_out, headline_of
from tests.components.writing.grading import Codec, Model
from tests.components.writing.test_scorer import write

APPLICATION = Application(
    name="fake",
    title="fake",
    package="fake",
    config=object,
    data="fake:used",
    model="fake:used",
    train_config="fake:used",
    scorer="components.writing.scorer:score_writing",
    encoder="fake:used",
)


def headline_on_held_out(application: Application, held: HeldOut, codec: Codec, model: Model) -> float:
    return mean_qwk(answers_on_held_out(application, held, codec, model))


def mean_qwk(answers: pl.DataFrame) -> float:
    metric = headline_of(answers, np.arange(answers.height), None, 1)
    return float(metric(np.ones(answers.height, np.int64))[0])


def held_out(folder: Path, human: list[float | None], texts: list[str], prompts: list[str]) -> HeldOut:
    """Return responses of which the evaluation held out every second; the others must not count."""
    rows = [(f"s{at // 2}", prompt, text) for at, (prompt, text) in enumerate(zip(prompts, texts, strict=True))]
    both = [row for row in rows for _ in range(2)]
    logs = write(folder / "logs", both)
    (folder / "evaluation").mkdir()
    pl.DataFrame(
        {
            "response": [f"r{2 * at}" for at in range(len(rows))],
            "student": [student for student, _, _ in rows],
            "prompt": prompts,
            "score": human,
            "prediction": [99.0] * len(rows),  # of the model that was evaluated: no matter here
        },
        schema_overrides={"score": pl.Float64},
    ).write_parquet(folder / "evaluation" / "predictions.parquet")
    return HeldOut(logs=logs, evaluation=folder / "evaluation")


def test_it_is_the_mean_over_prompts_of_scikit_learns_kappa(tmp_path: Path) -> None:
    source = np.random.default_rng(0)
    words = source.integers(1, 8, 60)
    prompts = ["ab"[at % 2] for at in range(60)]
    human = [float(np.clip(w + source.integers(-1, 2), 0, 6)) for w in words]
    found = headline_on_held_out(
        APPLICATION, held_out(tmp_path, list(human), ["word " * w for w in words], prompts), Codec(), Model()
    )
    given = np.floor(np.minimum(words * 0.8, 6) + 0.5)
    each = [
        cohen_kappa_score(
            np.array(human)[at::2].astype(int), given[at::2].astype(int), weights="quadratic", labels=range(7)
        )
        for at in (0, 1)
    ]
    assert found == pytest.approx(np.mean(each), abs=1e-12)


def test_where_the_evaluation_pooled_prompts_they_are_one(tmp_path: Path) -> None:
    human = [1.0, 2, 3, 2, 5, 4]
    texts = ["a", "a b", "a b c", "a b c d", "a b c d e f g", "a b c d e"]
    held = held_out(tmp_path, list(human), texts, ["a", "b"] * 3)
    (held.evaluation / "metrics.json").write_text('{"pool_prompts": true}')
    given = [1, 2, 2, 3, 6, 4]  # 0.8 points a word, the nearest score, at most 6
    expected = cohen_kappa_score([int(h) for h in human], given, weights="quadratic", labels=range(7))
    assert headline_on_held_out(APPLICATION, held, Codec(), Model()) == pytest.approx(expected, abs=1e-12)


def test_a_release_that_refuses_what_it_does_not_know_is_not_better_for_it(tmp_path: Path) -> None:
    human = [0.0, 2, 4, 6, 5, 1, 3, 2]
    texts = ["", "one two", "a b c d e", "a b c d e f g h", "", "", "a b c d", "a b"]
    found = headline_on_held_out(APPLICATION, held_out(tmp_path, list(human), texts, ["a"] * 8), Codec(), Model())
    answered = pl.DataFrame({"prompt": ["a"] * 5, "score": [2.0, 4, 6, 3, 2], "given": [2.0, 4, 6, 3, 2]})
    assert found < mean_qwk(answered) == 1.0
    # the three refused count as given the mean human score, 2.875
    whole = pl.DataFrame({"prompt": ["a"] * 8, "score": human, "given": [2.875, 2, 4, 6, 2.875, 2.875, 3, 2]})
    assert found == pytest.approx(mean_qwk(whole), abs=1e-12)


def test_responses_that_no_human_scored_do_not_count(tmp_path: Path) -> None:
    human: list[float | None] = [2, 4, 6, None]
    texts = ["a b", "a b c d e", "a b c d e f g h", "a b c"]
    assert headline_on_held_out(APPLICATION, held_out(tmp_path, human, texts, ["a"] * 4), Codec(), Model()) == 1.0


def test_one_human_score_leaves_nothing_to_compare(tmp_path: Path) -> None:
    found = headline_on_held_out(
        APPLICATION, held_out(tmp_path, [3.0, 3.0, 3.0], ["a b", "a", "a b c"], ["a"] * 3), Codec(), Model()
    )
    assert math.isnan(found)


def test_of_a_group_it_is_the_kappa_of_its_own_responses_as_often_as_their_students_count() -> None:
    source = np.random.default_rng(1)
    human = source.integers(0, 5, 80).astype(float)
    given = np.clip(human + source.integers(-1, 2, 80), 0, 4)
    student, group = np.arange(80) // 2, np.arange(80) // 2 % 2
    answers = pl.DataFrame({"student": student, "prompt": ["a"] * 80, "score": human, "given": given})
    counts = source.integers(0, 4, 40)
    found = headline_of(answers, student, group, 2)(counts)
    for g in (0, 1):
        rows = np.repeat(np.flatnonzero(group == g), counts[student[group == g]])
        expected = cohen_kappa_score(human[rows].astype(int), given[rows].astype(int), weights="quadratic")
        assert found[g] == pytest.approx(expected, abs=1e-12)


def test_a_group_with_few_responses_to_every_prompt_has_no_kappa() -> None:
    answers = pl.DataFrame(
        {
            "student": range(29),
            "prompt": ["a"] * 29,
            "score": [1.0, 2.0] * 14 + [1.0],
            "given": [1.0, 2.0, 2.0] * 9 + [1.0, 2.0],
        }
    )
    group = np.array([0] * 20 + [1] * 9)
    found = headline_of(answers, np.arange(29), group, 2)(np.ones(29, np.int64))
    assert np.isnan(found[1])
