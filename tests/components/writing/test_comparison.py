"""The headline of a release on held-out responses, against scikit-learn, and that refusing does not pay."""

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import cohen_kappa_score

from components.app import Application
from components.chain import HeldOut
from components.writing.comparison import headline_on_held_out, mean_qwk
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
