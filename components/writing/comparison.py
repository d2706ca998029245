"""How releases are compared: by QWK, mean over prompts, on the responses that an evaluation held out."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl

from components.app import Application, Codec
from components.chain import HeldOut
from components.schema import PREDICTIONS
from components.writing.agreement import Pair, pair_values
from components.writing.evaluate.stage import METRICS
from components.writing.sums import whole_sums


def headline_on_held_out(
    application: Application,
    held_out: HeldOut,
    codec: Codec,
    run_model: Callable[[dict[str, Any]], Mapping[str, Any]],  # Any: arrays by name
) -> float:
    """Return the QWK of a release's scores on the held-out responses, mean over prompts; NaN where none has any.

    Where the evaluation pooled prompts, so does this.

    A response that the release does not score counts as given the prompt's mean human score: a release must not look
    better by refusing what is hard.

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
    filled = both.with_columns(given=pl.col("given").fill_null(pl.col("score").mean().over("prompt")))
    return mean_qwk(filled)


def mean_qwk(table: pl.DataFrame) -> float:
    """Return the QWK of `score` and `given`, mean over the values of `prompt` where it can be estimated, else NaN."""
    names, prompt = np.unique(table["prompt"].to_numpy(), return_inverse=True)
    pairs = pair_values(table["score"].to_numpy().astype(np.float64), table["given"].to_numpy().astype(np.float64))
    found = Pair(whole_sums(pairs, prompt, len(names))).qwk()
    there = np.isfinite(found)
    return float(found[there].mean()) if there.any() else float("nan")
