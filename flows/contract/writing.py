"""The contract of applications on scored writing: made-up texts, a run that takes seconds, what is served of them."""

import shutil
from pathlib import Path

import numpy as np
import polars as pl

from components.app import load_application
from components.simulate.writing_config import SimulateWritingConfig
from components.simulate.writing_stage import simulate_writing
from components.stage import Runner
from components.store import Store
from flows.contract.released import Released

CONSTANT = 0.0
"""Kappa of a constant prediction."""
OVERRIDES = (
    "evaluate.resamples=50",
    "fairness.resamples=50",
    # some 60 held-out students: chance alone makes gaps, and the contract needs a release
    "fairness.max_dsm=0.5",
    "fairness.max_qwk_gap=0.5",
    "evaluate.on_fail=flag",
    *(f"evaluate.severity.{name}=warn" for name in ("min_qwk", "max_drop_against_humans", "max_smd")),
)


def made_up_data(store: Store, folder: Path) -> Path:
    """Write the responses of 330 simulated students to two prompts into `folder` and return the file."""
    writing = Runner(store)(simulate_writing, SimulateWritingConfig(students=330, prompts=2, seed=1))
    return Path(shutil.copyfile(store.folder(writing) / "responses.parquet", folder / "essays.parquet"))


def check_served(release: Released) -> None:
    """Compare what the release answers with what was evaluated."""
    outcome, store, bundle = release.summary.outcome, release.store, release.bundle()
    application = load_application(release.summary.request.application)
    kept = pl.read_parquet(store.folder(outcome.evaluation) / "predictions.parquet")
    answers: pl.DataFrame = application.part(application.scorer)(
        store.folder(outcome.logs), bundle.codec, bundle.session.run, "all", kept["student"]
    )
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
