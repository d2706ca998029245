"""Requests to grade, from the responses that an evaluation held out."""

from pathlib import Path
from typing import Any

import polars as pl

from components.schema import PREDICTIONS
from components.writing.schema import RESPONSES
from components.writing.scorer import request_class

MOST_CHARACTERS = 200_000
"""What the codec reads at most."""


def held_out_requests(
    logs: Path, evaluation: Path, codec: Any, count: int, seed: int
) -> list[tuple[str, Any]]:  # Any: the release's Codec and its Request
    """Return (student, request) for at most `count` held-out responses, drawn without replacement.

    Args:
        logs: folder that ingest published.
        evaluation: folder that evaluate published.
        codec: its module or package holds `Request`.
        count: at most so many.
        seed: of the draw.
    """
    held_out = pl.read_parquet(evaluation / PREDICTIONS).select("response").unique().sort("response")
    drawn = held_out.sample(min(count, held_out.height), seed=seed)
    table = (
        pl.scan_parquet(logs / RESPONSES)
        .select("response", "student", "prompt", "text")
        .join(drawn.lazy(), on="response", how="semi")
        .sort("response")
        .collect()
    )
    request = request_class(codec)
    known = {prompt["prompt"] for prompt in codec.grading_prompts()}
    return [
        (student, request(prompt=prompt, text=text))
        for student, prompt, text in table.select("student", "prompt", "text").rows()
        if prompt in known and len(text) <= MOST_CHARACTERS
    ]
