"""An evaluation's predictions as the rows that groups are compared on."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from components.errors import SchemaError
from components.writing.fairness.measures import WritingRows
from components.writing.scale import PromptScale


def rows_of(predictions: pl.DataFrame, students: pl.Series, scales: Sequence[PromptScale]) -> WritingRows:
    """Return the predictions as arrays.

    Args:
        predictions: of an Evaluation of scored writing, every row with a human score.
        students: the different students of `predictions`; a row's student is an index of these.
        scales: of all prompts that ingest published.

    Raises:
        SchemaError: predictions of a prompt that ingest did not publish.
    """
    place = {scale.prompt: at for at, scale in enumerate(scales)}
    prompts = predictions["prompt"].cast(pl.String).to_list()
    unknown = sum(name not in place for name in prompts)
    if unknown:
        raise SchemaError(
            f"{unknown} of {len(prompts)} predictions are of prompts that are not in the source's prompts.json. Give "
            "what the evaluated data were made from."
        )
    number = {name: at for at, name in enumerate(students.to_list())}
    raters = [name for name in ("rater_1", "rater_2") if name in predictions.columns]
    ratings = predictions.select(pl.col(raters).cast(pl.Float64).fill_null(np.nan)).to_numpy() if raters else None
    return WritingRows(
        student=np.array([number[name] for name in predictions["student"]], np.int64),
        prompt=np.array([place[name] for name in prompts], np.int64),
        score=predictions["score"].cast(pl.Float64).to_numpy(),
        raw=predictions["prediction"].cast(pl.Float64).to_numpy(),
        rounded=predictions["rounded"].cast(pl.Float64).to_numpy(),
        ratings=np.zeros((predictions.height, 0)) if ratings is None else np.asarray(ratings, np.float64),
        is_graded=predictions["abstained"].is_null().to_numpy(),
        scales=[scale.score for scale in scales],
    )
