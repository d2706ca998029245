"""How releases are compared: by QWK, mean over prompts, on the responses that an evaluation held out."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from components.app import Application, Codec
from components.chain import HeldOut
from components.gate.paired import Counts, Metric
from components.schema import PREDICTIONS
from components.writing.agreement import Pair, pair_values
from components.writing.evaluate.stage import METRICS
from components.writing.fairness.measures import pooled_qwk
from components.writing.sums import cell_sums

MIN_PROMPT_SCORED = 10
"""A prompt with fewer responses of a group is no part of the group's kappa."""


def answers_on_held_out(
    application: Application,
    held_out: HeldOut,
    codec: Codec,
    run_model: Callable[[dict[str, Any]], Mapping[str, Any]],  # Any: arrays by name
) -> pl.DataFrame:
    """Return a release's scores: student, prompt, score (human), given; a row per held-out response with a human score.

    Where the evaluation pooled prompts, they are one here as well. A response that the release does not score counts as
    given the prompt's mean human score: a release must not look better by refusing what is hard.

    Args:
        application: has a scorer.
        held_out: the source's responses, and which of them an evaluation held out.
        codec: the release's own.
        run_model: the release's model.
    """
    human = (
        pl.read_parquet(held_out.evaluation / PREDICTIONS)
        .filter(pl.col("score").is_not_null())
        .select("response", "student", "prompt", "score")
    )
    answers = application.part(application.scorer)(held_out.logs, codec, run_model, "all", human["student"])
    both = human.join(answers.select("response", given="score"), on="response", how="left", maintain_order="left")
    report = held_out.evaluation / METRICS
    if report.is_file() and json.loads(report.read_text(encoding="utf-8")).get("pool_prompts"):
        both = both.with_columns(prompt=pl.lit(""))
    return both.select("student", "prompt", "score", pl.col("given").fill_null(pl.col("score").mean().over("prompt")))


def headline_of(
    answers: pl.DataFrame, student: npt.NDArray[np.int64], group: npt.NDArray[np.int64] | None, groups: int
) -> Metric:
    """Return QWK as a function of how often each student counts.

    Of all rows it is the mean over the prompts where it can be estimated. Of groups it is pooled within prompts, as in
    the report on groups: one group's few responses to a prompt have no kappa of their own.

    Args:
        answers: N rows from `answers_on_held_out`.
        student: (N,) index of each row's student.
        group: (N,) index of each row's group; None puts all into one.
        groups: how many.
    """
    names, prompt = np.unique(answers["prompt"].to_numpy(), return_inverse=True)
    human, given = (answers[name].to_numpy().astype(np.float64) for name in ("score", "given"))
    pairs, prompts = pair_values(human, given), len(names)
    own = np.zeros(len(student), np.int64) if group is None else group
    cell = prompt * groups + own
    used = np.bincount(cell, minlength=prompts * groups).reshape(prompts, groups) >= MIN_PROMPT_SCORED

    def metric(counts: Counts) -> npt.NDArray[np.float64]:
        sums = cell_sums(pairs, cell, prompts * groups, counts[None, student])[0].reshape(prompts, groups, -1)
        if group is None:
            found = Pair(sums[:, 0]).qwk()
            there = np.isfinite(found)
            return np.array([found[there].mean() if there.any() else np.nan])
        return pooled_qwk(Pair(sums), Pair(sums.sum(axis=1, keepdims=True)).variance_x, used)

    return metric
