"""Assembly: responses of all files become the schema's tables: checked as a whole, merged, pseudonymised, sorted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from components.ingest.attributes import attributes
from components.ingest.faults import QUARANTINE_SCHEMA, parted
from components.pseudonyms import pseudonyms
from components.secrets import SecretKey
from components.writing.ingest.config import Resolution, Rubric
from components.writing.ingest.id_lists import declared
from components.writing.ingest.layouts.layout import WritingLayout
from components.writing.ingest.merging import merged, one_row_each, without_repeats
from components.writing.ingest.rubrics import outside
from components.writing.ingest.source import WritingSource
from components.writing.schema import RATER, TRAIT

OWN_RESPONSE = "own_response"
"""Column of pseudonyms that rows bring with them, as overrides do; null where they are to be made of the ids."""
OWN_STUDENT = "own_student"
"""Likewise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """All responses that are kept, ids still raw."""

    responses: pl.DataFrame
    quarantine: pl.DataFrame
    traits: tuple[str, ...]
    raters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The tables of `components/writing/schema.py`."""

    responses: pl.DataFrame
    students: pl.DataFrame
    conflicting: dict[str, int]
    """Group attribute -> students for whom the source gives several values; theirs is null."""
    several_splits: int
    """Students whose responses are declared to be for different splits."""


def cleaned(source: WritingSource, how: Resolution, rubrics: Mapping[str, Rubric], held: Mapping[int, str]) -> Cleaned:
    """Return the responses of a run after the checks that need all of them, and merging.

    Args:
        source: what was read.
        how: how a score is resolved from raters'.
        rubrics: prompt -> rubric.
        held: index -> `valid` or `test` of the files that are that split.

    Raises:
        SchemaError: lists of ids do not fit the responses.
    """
    batches = source.batches
    rows = pl.concat([b.responses for b in batches], how="diagonal", rechunk=True)
    rows, repeats = without_repeats(rows)
    rows, disagreeing = one_row_each(rows, held)
    rows = merged(rows, how, rubrics)
    traits = tuple(sorted(c.removeprefix(TRAIT) for c in rows.columns if c.startswith(TRAIT)))
    rows, late = parted(rows, outside(rubrics, traits, _names(source.layout, traits)))
    rows = declared(
        rows,
        source.lists,
        pl.concat([b.ids for b in batches]).unique(),
        sum(b.rows_unreadable for b in batches),
    )
    parts = [*(b.quarantine for b in batches), repeats, disagreeing, late]
    quarantine = pl.concat([p.cast(QUARANTINE_SCHEMA) for p in parts]).sort(
        "file", "row", "column", "reason", nulls_last=True
    )
    raters = sum(c.startswith(RATER) and rows[c].null_count() < rows.height for c in rows.columns)
    return Cleaned(responses=rows, quarantine=quarantine, traits=traits, raters=raters)


def _names(layout: WritingLayout, traits: Sequence[str]) -> dict[str, str]:
    return {target: layout.source_column(target) for target in ("score", *(TRAIT + name for name in traits))}


def tables(clean: Cleaned, groups: Sequence[pl.DataFrame], key: SecretKey) -> Tables:
    """Return the published tables.

    Args:
        clean: what is kept.
        groups: students' attributes as the batches gave them.
        key: of the pseudonyms.
    """
    rows = clean.responses
    if OWN_STUDENT not in rows.columns:
        rows = rows.with_columns(pl.lit(None, pl.String).alias(name) for name in (OWN_RESPONSE, OWN_STUDENT))
    responses = pl.Series(pseudonyms(key, rows["response"].to_list(), "response"), dtype=pl.String)
    students = pl.Series(pseudonyms(key, rows["student"].to_list()), dtype=pl.String)
    responses = rows[OWN_RESPONSE].zip_with(rows[OWN_RESPONSE].is_not_null(), responses)
    students = students.zip_with(rows["has_student"], responses)
    students = rows[OWN_STUDENT].zip_with(rows[OWN_STUDENT].is_not_null(), students)
    raters = [c for c in rows.columns if c.startswith(RATER)]
    columns = [
        "response", "student", "prompt", "text", "score", *sorted(raters, key=lambda c: int(c.removeprefix(RATER))),
        *(TRAIT + name for name in clean.traits), "declared_split", "file", "row",
    ]  # fmt: skip
    named = rows.with_columns(
        responses.alias("response"),
        students.alias("student"),
        pl.when(pl.col(OWN_STUDENT).is_null()).then("student").alias("raw"),
    ).sort("prompt", "response", "file", "row")
    splits = pl.col("declared_split")
    people = (
        named.group_by("student")
        .agg(
            pl.col("raw").drop_nulls().first(),
            pl.when(splits.n_unique() == 1).then(splits.first()).alias("declared_split"),
            splits.n_unique().alias("splits"),
        )
        .sort("student")
    )
    several = int((people["splits"] > 1).sum())
    people = people.drop("splits")
    own, conflicting = attributes(groups)
    if own is not None:
        people = people.join(own, left_on="raw", right_on="student", how="left", maintain_order="left")
    return Tables(
        responses=named.select(columns),
        students=people.drop("raw"),
        conflicting=conflicting,
        several_splits=several,
    )
