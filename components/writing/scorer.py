"""Batch scoring of writing: the responses that ingest published, answered by a release as the service would."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import numpy.typing as npt
import polars as pl

from components.app import Codec, answer_requests
from components.writing.schema import RESPONSES, TRAIT

BATCH = 64
"""Most responses per call of the model."""
BATCH_CHARACTERS = 400_000
"""Most characters per call of the model, unless one response alone has more."""
REFUSED = "refused"
"""Why there is no score where the codec refuses the request itself: an unknown prompt, a text beyond its limit."""

RunModel = Callable[[dict[str, npt.NDArray[Any]]], Mapping[str, npt.NDArray[Any]]]  # Any: each array has its own dtype

COLUMNS = {
    "response": pl.String,
    "student": pl.String,
    "prompt": pl.String,
    "score": pl.Float64,
    "raw": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "abstained": pl.String,
    "file": pl.UInt16,
    "row": pl.UInt32,
}
"""Columns of the answers; `trait_<name>` for each trait that an answer has come after them."""


def score_writing(
    folder: Path,
    codec: Codec,
    run_model: RunModel,
    which: Literal["all", "last"] = "all",
    students: pl.Series | None = None,
) -> pl.DataFrame:
    """Return the answers of a release to the responses that ingest published, in their order.

    `score` is one that the rubric has, `raw` the prediction before rounding, `low` and `high` the ends of its interval,
    `abstained` the reason where there is no score, `file` and `row` where the response came from.

    Args:
        folder: of a ScoredWriting.
        codec: the release's own, from its bundle.
        run_model: padded inputs by name -> outputs by name.
        which: every response, or each student's last to each prompt, by file and row.
        students: leave out the others' responses; None: of all students.
    """
    table = pl.read_parquet(folder / RESPONSES, columns=["response", "student", "prompt", "text", "file", "row"])
    if students is not None:
        wanted = pl.DataFrame({"student": students.unique()})
        table = table.join(wanted, on="student", how="semi", maintain_order="left")
    if which == "last":
        place = pl.col("file").cast(pl.UInt64) * 2**32 + pl.col("row")
        table = table.filter(place == place.max().over("student", "prompt"))
    request = request_class(codec)
    texts, prompts = table["text"].to_list(), table["prompt"].to_list()
    answers: list[dict[str, Any]] = [{}] * table.height  # Any: numbers and texts by column
    for rows in _batches([len(text) for text in texts]):
        asked = [request(prompt=prompts[at], text=texts[at]) for at in rows]
        for at, answer in zip(rows, _answers(codec, run_model, asked), strict=True):
            answers[at] = _columns(answer)
    return _joined(table, answers)


def request_class(codec: Codec) -> Any:  # Any: the release's own class
    """Return the `Request` that belongs to a codec: of its module, or of the package that this is in."""
    name = type(codec).__module__
    while name:
        found = getattr(sys.modules.get(name), "Request", None)
        if found is not None:
            return found
        name = name.rpartition(".")[0]
    raise TypeError(f"The codec {type(codec).__name__} has no Request beside it; define one in its module or package.")


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield indices of texts of like length, so that little is padded, at most BATCH or BATCH_CHARACTERS at a time."""
    order = sorted(range(len(lengths)), key=lambda at: -lengths[at])
    at = 0
    while at < len(order):
        longest = max(1, lengths[order[at]])
        count = max(1, min(BATCH, BATCH_CHARACTERS // longest))
        yield order[at : at + count]
        at += count


def _answers(codec: Codec, run_model: RunModel, requests: Sequence[Any]) -> list[Any]:
    """Return an answer to each request, None where the codec refuses it."""
    try:
        return answer_requests(codec, run_model, requests)
    except ValueError:  # some request makes no sense to the codec; its sentence may quote the request
        sound = [at for at, request in enumerate(requests) if _is_sound(codec, request)]
    if len(sound) == len(requests):  # then it was not the requests
        return answer_requests(codec, run_model, requests)
    found: list[Any] = [None] * len(requests)
    for at, answer in zip(sound, answer_requests(codec, run_model, [requests[at] for at in sound]), strict=True):
        found[at] = answer
    return found


def _is_sound(codec: Codec, request: Any) -> bool:
    try:
        codec.encode(request)
    except ValueError:
        return False
    return True


def _columns(answer: Any) -> dict[str, Any]:
    if answer is None:
        return {"abstained": REFUSED}
    low, high = answer.interval or (None, None)
    return {
        "score": answer.score,
        "raw": answer.raw,
        "low": low,
        "high": high,
        "abstained": answer.abstained,
        **{f"{TRAIT}{name}": score for name, score in (answer.traits or {}).items()},
    }


def _joined(table: pl.DataFrame, answers: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    given = [name for name in COLUMNS if name not in table.columns]
    traits = sorted({name for answer in answers for name in answer if name.startswith(TRAIT)})
    columns = [
        pl.Series(name, [answer.get(name) for answer in answers], dtype=COLUMNS.get(name, cast(Any, pl.Float64)))
        for name in (*given, *traits)
    ]
    return table.with_columns(columns).select(*(pl.col(name).cast(dtype) for name, dtype in COLUMNS.items()), *traits)
