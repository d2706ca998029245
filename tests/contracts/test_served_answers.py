"""What is served is what was evaluated, for each kind of data."""

import numpy as np
import polars as pl
import pytest

from components.app import load_application
from components.evaluate.predict import predict_split
from serving.bundle import load_bundle
from tests.conftest import Released

pytestmark = pytest.mark.slow


@pytest.fixture(params=["released", "released_attention"])
def traced(request: pytest.FixtureRequest) -> Released:
    """Return a release of each network of knowledge tracing."""
    found: Released = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=["released_essays", "released_neural_essays"])
def graded(request: pytest.FixtureRequest) -> Released:
    """Return a release of graders of essays: one fitted at once, one trained."""
    found: Released = request.getfixturevalue(request.param)
    return found


def served(release: Released, name: str, students: pl.Series) -> pl.DataFrame:
    outcome, settings = release.summary.outcome, release.settings
    store, application = settings.open_store(), load_application(name)
    bundle = load_bundle(store.folder(outcome.release), settings.read_signing_key())
    answers: pl.DataFrame = application.part(application.scorer)(
        store.folder(outcome.logs), bundle.codec, bundle.session.run, "all", students
    )
    return answers


def evaluated(release: Released) -> pl.DataFrame:
    store = release.settings.open_store()
    return pl.read_parquet(store.folder(release.summary.outcome.evaluation) / "predictions.parquet")


def test_what_was_evaluated_of_student_logs_is_what_the_checkpoint_says(traced: Released) -> None:
    outcome, store = traced.summary.outcome, traced.settings.open_store()
    application = load_application("knowledge_tracing")
    offline = predict_split(application, store.folder(outcome.dataset), store.folder(outcome.checkpoint), "test")
    assert np.allclose(evaluated(traced)["probability"].to_numpy(), offline, atol=1e-6)


def test_what_is_served_of_student_logs_equals_what_was_evaluated(traced: Released) -> None:
    kept = evaluated(traced)
    answers = served(traced, "knowledge_tracing", kept["student"])
    # later windows start anew offline, where the service reads on; within the first window both see the same
    both = kept.join(answers.select("student", "position", served="probability"), on=["student", "position"])
    both = both.filter(pl.col("position") < traced.summary.outcome.dataset.max_len_steps)
    assert both.height > 1_000
    assert np.abs(both["probability"].to_numpy() - both["served"].to_numpy()).max() <= 1e-5


def test_what_is_served_of_essays_equals_what_was_evaluated(graded: Released) -> None:
    kept = evaluated(graded)
    answers = served(graded, "essay_grading", kept["student"])
    both = kept.join(answers.select("response", served="score", raw="raw", why="abstained"), on="response")
    assert both.height == kept.height > 100
    scored = both.filter(pl.col("abstained").is_null())
    assert scored.height > 0.9 * both.height
    assert scored["why"].null_count() == scored.height
    assert np.array_equal(scored["rounded"].to_numpy(), scored["served"].to_numpy())
    # predictions are clipped to the rubric; inside of it they are what the model gave
    ends = (pl.col("prediction").min().over("prompt"), pl.col("prediction").max().over("prompt"))
    inside = scored.filter((pl.col("prediction") > ends[0]) & (pl.col("prediction") < ends[1]))
    assert inside.height > 0.5 * scored.height
    assert np.abs(inside["prediction"].to_numpy() - inside["raw"].to_numpy()).max() <= 1e-5
