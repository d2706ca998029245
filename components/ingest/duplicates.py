"""Duplicates: rows that are the same answer delivered twice, told from answers that only look alike."""

import polars as pl

from components.ingest.answers import ANSWER_SCHEMA
from components.ingest.faults import DUPLICATE, QUARANTINE_SCHEMA

_PLACE = ("file", "row")
_DAY_MS = 86_400_000


def without_duplicates(answers: pl.DataFrame, *, keep: bool) -> tuple[pl.DataFrame, pl.DataFrame, int | None]:
    """Return the answers without rows that were delivered before, those rows as quarantine, and what else may be one.

    Two rows are one where all that is read of them is the same: student, item, skills, answer, order, attempt,
    response time, and a time of the answer. The first stays. Without a time of the day nobody can tell a row delivered
    twice from the same answer given twice: such rows stay and are counted. Without items too, every second answer looks
    like another: they are not even counted (None).

    Args:
        answers: in the order of files and rows, in `ANSWER_SCHEMA`.
        keep: whether such rows stay whatever their time.
    """
    nothing = pl.DataFrame(schema=QUARANTINE_SCHEMA)
    if not answers.height:
        return answers, nothing, 0
    is_timed = not (answers["time_ms"] % _DAY_MS == 0).fill_null(True).all()
    if not is_timed and answers["item"].null_count() == answers.height:
        return answers, nothing, None
    is_repeat = _repeats(answers)
    count = int(is_repeat.sum())
    if keep or not is_timed or not count:
        return answers, nothing, count
    places = answers.select(*_PLACE).filter(is_repeat)
    quarantine = places.with_columns(pl.lit(None, pl.String).alias("column"), pl.lit(DUPLICATE).alias("reason"))
    return answers.filter(~is_repeat), quarantine, 0


def _repeats(answers: pl.DataFrame) -> pl.Series:
    """Return whether a row is the same as an earlier one. Digests find the few that are compared whole."""
    compared = [c for c in ANSWER_SCHEMA if c not in _PLACE]
    suspects = answers.select(compared).hash_rows(seed=0).is_duplicated()
    is_repeat = suspects.clone()
    if suspects.any():
        is_first = answers.filter(suspects).select(pl.struct(compared).is_first_distinct()).to_series()
        is_repeat = is_repeat.scatter(suspects.arg_true(), ~is_first)
    return is_repeat
