"""Merging: rows that are one answer to a problem with several skills become one row with a set of skills."""

import numpy as np
import numpy.typing as npt
import polars as pl

from components.ingest.faults import QUARANTINE_SCHEMA
from components.ingest.rows import JOIN

MERGE_KEY = "answer"


def merged_by_order(answers: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the rows after merging those of a student that share `order`, and quarantine.

    Rows of one answer that differ in item, correctness or score contradict each other: all of them go to quarantine.
    """
    keys = ["student", "order"]
    repeated = answers.select(pl.struct(keys).is_duplicated()).to_series()
    if not repeated.any():
        return answers, pl.DataFrame(schema=QUARANTINE_SCHEMA)
    several = answers.filter(repeated)
    judged = ["item", "correct", "score"]
    agrees = several.select(
        pl.all_horizontal(pl.col(c).eq_missing(pl.col(c).first().over(keys)) for c in judged).all().over(keys)
    ).to_series()
    quarantine = several.filter(~agrees).select(
        "file",
        "row",
        pl.lit(None, pl.String).alias("column"),
        pl.lit("rows_of_one_answer_disagree").alias("reason"),
    )
    merged = _merged(several.filter(agrees), keys)
    return pl.concat([answers.filter(~repeated), merged]).sort("file", "row"), quarantine


def merged_repeats(answers: pl.DataFrame) -> pl.DataFrame:
    """Return the rows after merging neighbours of one student with the same item and answer and ever new skills.

    Rows stand in the source's order. A skill that comes again begins a new answer: the problem was met once more.
    """
    if not answers.height:
        return answers
    same = ["file", "row", "student", "item", "correct"]
    change = pl.any_horizontal(pl.col(c).ne_missing(pl.col(c).shift(1)) for c in same).fill_null(True)
    runs = answers.select(change.cum_sum().alias("run"), "skills")
    has_repeat = runs.select((pl.struct("run", "skills").is_duplicated()).any().over("run")).to_series()
    starts = runs.select((pl.col("run") != pl.col("run").shift(1)).fill_null(True)).to_series().to_numpy().copy()
    if has_repeat.any():
        places = np.flatnonzero(has_repeat.to_numpy())
        starts[places] |= _starts_anew(runs["run"].to_numpy()[places], runs["skills"].gather(places).to_list())
    keyed = answers.with_columns(pl.Series(MERGE_KEY, np.cumsum(starts), pl.UInt32))
    return _merged(keyed, [MERGE_KEY]).select(answers.columns)


def _starts_anew(runs: npt.NDArray[np.uint32], skills: list[str | None]) -> npt.NDArray[np.bool_]:
    """Return for each row whether a new answer begins there. Few runs repeat a skill, so a loop is quick enough."""
    starts = np.zeros(len(skills), np.bool_)
    seen: set[str | None] = set()
    current = -1
    for place, (run, skill) in enumerate(zip(runs.tolist(), skills, strict=True)):
        if run != current or skill in seen:
            starts[place] = True
            seen = set()
        current = run
        seen.add(skill)
    return starts


def _merged(answers: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Return one row per key: the first row's values, and all skills."""
    rest = [c for c in answers.columns if c not in {*keys, "skills"}]
    grouped = answers.group_by(keys, maintain_order=True).agg(
        pl.col("skills").drop_nulls().str.join(JOIN), pl.col(rest).first()
    )
    return grouped.with_columns(pl.when(pl.col("skills") != "").then(pl.col("skills"))).select(answers.columns)
