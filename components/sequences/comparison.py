"""How releases are compared: by AUC on the answers that an evaluation held out."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from components.app import Application, Codec
from components.chain import HeldOut
from components.evaluate.bootstrap import GroupedAuc
from components.gate.paired import Metric
from components.schema import PREDICTIONS


def answers_on_held_out(
    application: Application,
    held_out: HeldOut,
    codec: Codec,
    run_model: Callable[[dict[str, Any]], Mapping[str, Any]],  # Any: arrays by name
) -> pl.DataFrame:
    """Return a release's answers: student, right, probability; a row per scored answer, in the evaluation's order.

    An answer that the release gives no probability has the share of right answers: a release must not look better by
    refusing what is hard.

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
    both = scored.join(
        answers.select("student", "position", "probability"),
        on=["student", "position"],
        how="left",
        maintain_order="left",
    )
    return both.select("student", "right", pl.col("probability").fill_null(pl.col("right").mean()))


def headline_of(
    answers: pl.DataFrame, student: npt.NDArray[np.int64], group: npt.NDArray[np.int64] | None, groups: int
) -> Metric:
    """Return AUC within each group of rows as a function of how often each student counts.

    Args:
        answers: N rows from `answers_on_held_out`.
        student: (N,) index of each row's student.
        group: (N,) index of each row's group; None puts all into one.
        groups: how many.
    """
    return GroupedAuc(answers["right"].to_numpy(), answers["probability"].to_numpy(), student, group, groups)
