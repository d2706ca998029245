"""The contract of applications on student logs: made-up logs, a run that takes seconds, and what is served of them."""

import shutil
from pathlib import Path

import numpy as np
import polars as pl

from components.app import load_application
from components.evaluate.predict import predict_split
from components.simulate.config import SimulateConfig
from components.simulate.stage import simulate
from components.stage import Runner
from components.store import Store
from flows.contract.released import Released

CONSTANT = 0.5
"""AUC of a constant prediction."""
OVERRIDES = (
    "train.max_epochs=3",
    "evaluate.resamples=50",
    "fairness.resamples=50",
    # 48 held-out students: chance alone makes gaps, and the contract needs a release
    "fairness.max_auc_gap=0.3",
    "fairness.max_calibration_gap=0.3",
)


def made_up_data(store: Store, folder: Path) -> Path:
    """Write the logs of 240 simulated students into `folder` and return the file."""
    district = Runner(store)(simulate, SimulateConfig(students=240, seed=1))
    return Path(shutil.copyfile(store.folder(district) / "answers.parquet", folder / "district.parquet"))


def check_served(release: Released) -> None:
    """Compare what the release answers with what was evaluated, and that with what the checkpoint says."""
    outcome, store = release.summary.outcome, release.store
    application = load_application(release.summary.request.application)
    kept = pl.read_parquet(store.folder(outcome.evaluation) / "predictions.parquet")
    offline = predict_split(application, store.folder(outcome.dataset), store.folder(outcome.checkpoint), "test")
    assert np.allclose(kept["probability"].to_numpy(), offline, atol=1e-6)

    bundle = release.bundle()
    answers: pl.DataFrame = application.part(application.scorer)(
        store.folder(outcome.logs), bundle.codec, bundle.session.run, "all", kept["student"]
    )
    # later windows start anew offline, where the service reads on; within the first window both see the same
    both = kept.join(answers.select("student", "position", served="probability"), on=["student", "position"])
    both = both.filter(pl.col("position") < outcome.dataset.max_len_steps)
    assert both.height > 1_000
    assert np.abs(both["probability"].to_numpy() - both["served"].to_numpy()).max() <= 1e-5
