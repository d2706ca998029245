"""How releases are compared: by AUC on the answers that an evaluation held out."""

from collections.abc import Callable, Mapping
from typing import Any

import polars as pl
from sklearn.metrics import roc_auc_score

from components.app import Application, Codec
from components.chain import HeldOut
from components.schema import PREDICTIONS


def headline_on_held_out(
    application: Application,
    held_out: HeldOut,
    codec: Codec,
    run_model: Callable[[dict[str, Any]], Mapping[str, Any]],  # Any: arrays by name
) -> float:
    """Return the AUC of a release on the scored answers of the held-out students.

    Args:
        application: has a scorer.
        held_out: the students' logs, and which of their answers count.
        codec: the release's own.
        run_model: the release's model.
    """
    scored = (
        pl.read_parquet(held_out.evaluation / PREDICTIONS)
        .filter("scored")
        .select("student", "position", (pl.col("label") >= 0.5).alias("right"))
    )
    answers = application.part(application.scorer)(held_out.logs, codec, run_model, "all", scored["student"])
    both = scored.join(answers.select("student", "position", "probability"), on=["student", "position"])
    return float(roc_auc_score(both["right"].to_numpy(), both["probability"].to_numpy()))
