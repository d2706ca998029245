"""Merging: rows of one response by several raters become one row; rows that contradict each other are set apart."""

from collections.abc import Mapping

import polars as pl

from components.ingest.faults import DUPLICATE, QUARANTINE_SCHEMA, Fault, parted
from components.writing.ingest.config import Resolution, Rubric
from components.writing.ingest.rubrics import resolved
from components.writing.schema import RATER, TRAIT

DISAGREE = "rows_of_one_response_disagree"
_PLACE = ("file", "row")


def without_repeats(responses: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the rows without those that are the same as an earlier one in all that was read, and these.

    Only where the source names responses: else two students may well have written the same.
    """
    if not responses.height:
        return responses, pl.DataFrame(schema=QUARANTINE_SCHEMA)
    compared = [c for c in responses.columns if c not in _PLACE]
    is_first = responses.select(pl.struct(compared).is_first_distinct()).to_series()
    repeats = responses.filter(~is_first & responses["is_named"]).select(*_PLACE)
    return responses.filter(is_first | ~responses["is_named"]), _set_apart(repeats, DUPLICATE)


def one_row_each(responses: pl.DataFrame, held: Mapping[int, str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the rows after setting apart those of a response that stand in several, other than one per rater.

    A response in a file for testing, or validation, counts there alone.

    Args:
        responses: without repeats.
        held: index -> `valid` or `test` of the files that are that split.
    """
    faults = []
    for role, weaker in (("test", ("any", "valid")), ("valid", ("any",))):
        if role in held.values():
            of_file = pl.col("file").replace_strict(held, default="any", return_dtype=pl.String)
            both = of_file.is_in(weaker) & (of_file == role).any().over("response")
            faults.append(Fault(column=None, reason=f"response_also_in_{role}_file", is_at_fault=both))
    kept, elsewhere = parted(responses, faults)
    several = kept.filter(pl.col("response").is_duplicated())
    if not several.height:
        return kept, elsewhere
    same = ["student", "prompt", "text", "declared_split"]
    agrees = pl.all_horizontal(pl.col(c).eq_missing(pl.col(c).first()).all().over("response") for c in same)
    own_raters = (pl.col("rater").n_unique() == pl.len()).over("response") & pl.col("rater").is_not_null().all().over(
        "response"
    )
    bad = several.filter(~(agrees & own_raters))
    rest = kept.join(bad.select(*_PLACE), on=_PLACE, how="anti", maintain_order="left")
    return rest, pl.concat([elsewhere, _set_apart(bad.select(*_PLACE), DISAGREE)])


def merged(responses: pl.DataFrame, how: Resolution, rubrics: Mapping[str, Rubric]) -> pl.DataFrame:
    """Return one row per response with the score that counts.

    Args:
        responses: after `one_row_each`.
        how: how it is resolved from raters' scores, where the source does not give it.
        rubrics: to whose scores a mean is rounded.
    """
    frame = responses
    is_by_rater = frame["rater"].is_not_null()
    if is_by_rater.any():
        by_rater = _raters_joined(frame.filter(is_by_rater), how)
        frame = pl.concat([frame.filter(~is_by_rater), by_rater], how="diagonal") if not is_by_rater.all() else by_rater
    raters = [c for c in frame.columns if c.startswith(RATER)]
    if not raters:
        return frame
    return frame.with_columns(pl.coalesce("score", resolved(raters, how, rubrics)).alias("score"))


def _raters_joined(rows: pl.DataFrame, how: Resolution) -> pl.DataFrame:
    """Return one row per response of rows that are a rater's each; raters are numbered as their rows come.

    The scores become those of the raters, and so none yet counts; traits are resolved, but not rounded.
    """
    traits = [c for c in rows.columns if c.startswith(TRAIT)]
    old = [c for c in rows.columns if c.startswith(RATER)]
    rest = [c for c in rows.columns if c not in {"response", "score", *traits, *old}]
    frame = rows.group_by("response", maintain_order=True).agg(pl.col(rest).first(), pl.col("score", *traits))
    most = max(frame["score"].list.len().to_list())

    def nth(column: str, number: int, name: str) -> pl.Expr:
        return pl.col(column).list.get(number, null_on_oob=True).alias(name)

    frame = frame.with_columns(
        *(nth("score", n, f"{RATER}{n + 1}") for n in range(most)),
        *(nth(trait, n, f"{n} {trait}") for trait in traits for n in range(most)),
    )
    made = {trait: [f"{n} {trait}" for n in range(most)] for trait in traits}
    of_traits: Resolution = "mean" if how == "rounded_mean" else how
    return frame.with_columns(
        pl.lit(None, pl.Float64).alias("score"),
        *(resolved(columns, of_traits, {}).alias(trait) for trait, columns in made.items()),
    ).drop(name for columns in made.values() for name in columns)


def _set_apart(places: pl.DataFrame, reason: str) -> pl.DataFrame:
    return places.with_columns(pl.lit(None, pl.String).alias("column"), pl.lit(reason).alias("reason"))
