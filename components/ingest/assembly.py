"""Assembly: the answers of all files become the schema's tables: checked as a whole, merged, pseudonymised, ordered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from components.errors import SchemaError
from components.ingest.answers import Batch
from components.ingest.attributes import attributes
from components.ingest.config import Protocol
from components.ingest.duplicates import without_duplicates
from components.ingest.faults import QUARANTINE_SCHEMA, Fault, parted
from components.ingest.layouts.layout import Layout
from components.ingest.merging import merged_by_order, merged_repeats
from components.ingest.rows import JOIN
from components.pseudonyms import pseudonyms
from components.schema import INTERACTION_COLUMNS
from components.secrets import SecretKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleaned:
    """All answers that are kept, students still raw."""

    answers: pl.DataFrame
    quarantine: pl.DataFrame
    merged: int
    """Rows that went into another."""
    possible_duplicates: int | None
    """Kept rows that are the same as another where nothing tells whether they were delivered twice; None: as
    `without_duplicates` says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The tables of `components/schema.py`."""

    interactions: pl.DataFrame
    skill_sets: pl.DataFrame
    students: pl.DataFrame
    conflicting: dict[str, int]
    """Group attribute -> students for whom the source gives several values; theirs is null."""


def cleaned(
    batches: Sequence[Batch],
    layout: Layout,
    protocol: Protocol,
    held: Mapping[int, str],
    latest_ms: int | None = None,
) -> Cleaned:
    """Return the answers of a run after the checks that need all of them, and merging.

    Args:
        batches: in the order of files and rows.
        layout: the files' layout.
        protocol: whether skill rows are merged.
        held: index -> `valid` or `test` of the files whose students are that split.
        latest_ms: time, in ms since 1970, behind which there can be no answer; None where none is known.
    """
    answers = layout.settle(pl.concat([b.answers for b in batches], rechunk=True))
    faults = layout.late_faults(answers)
    if answers["time_ms"].null_count() < answers.height:
        faults.append(Fault(column="time", reason="time_missing", is_at_fault=pl.col("time_ms").is_null()))
    if latest_ms is not None:
        faults.append(Fault(column="time", reason="time_in_future", is_at_fault=pl.col("time_ms") > latest_ms))
    for role, weaker in (("test", ("any", "valid")), ("valid", ("any",))):
        if role in held.values():
            of_file = pl.col("file").replace_strict(held, default="any", return_dtype=pl.String)
            both = of_file.is_in(weaker) & (of_file == role).any().over("student")
            faults.append(Fault(column=None, reason=f"student_also_in_{role}_file", is_at_fault=both))
    kept, late = parted(answers, faults)
    kept, delivered_before, possible = without_duplicates(kept, keep=layout.keeps_duplicates)
    parts = [*(b.quarantine for b in batches), late, delivered_before]
    before = kept.height
    if protocol == "problem" and layout.merging() == "order":
        kept, disagreeing = merged_by_order(kept)
        parts.append(disagreeing)
        before -= disagreeing.height
    elif protocol == "problem" and layout.merging() == "repeats":
        kept = merged_repeats(kept)
    quarantine = pl.concat([p.cast(QUARANTINE_SCHEMA) for p in parts]).sort(
        "file", "row", "column", "reason", nulls_last=True
    )
    return Cleaned(answers=kept, quarantine=quarantine, merged=before - kept.height, possible_duplicates=possible)


def tables(
    answers: pl.DataFrame,
    groups: Sequence[pl.DataFrame],
    separator: str | None,
    held: Mapping[int, str],
    key: SecretKey,
) -> Tables:
    """Return the published tables.

    Args:
        answers: kept answers in source order.
        groups: students' attributes as the batches gave them.
        separator: between skills in one cell.
        held: index -> `valid` or `test` of the files whose students are that split.
        key: of the pseudonyms.

    Raises:
        SchemaError: a student's answers stand in several files and nothing says in which order they were given.
    """
    _check_order(answers)
    names = answers["student"].unique()
    students = (
        pl.DataFrame({"raw": names, "student": pseudonyms(key, names.to_list())})
        .sort("student")
        .with_row_index("number")
    )
    skill_sets, set_of_text = _skill_sets(answers["skills"], separator)
    wanted = [c.name for c in INTERACTION_COLUMNS]
    keys = [c for c in ("time_ms", "order") if answers[c].null_count() < answers.height]
    ordered = (
        answers.lazy()
        .join(
            students.lazy().rename({"student": "pseudonym"}), left_on="student", right_on="raw", maintain_order="left"
        )
        .join(set_of_text.lazy(), on="skills", how="left", nulls_equal=True, maintain_order="left")
        .sort("number", *keys, maintain_order=True)
        .with_columns(pl.int_range(pl.len(), dtype=pl.UInt32).alias("place"))
        .with_columns((pl.col("place") - pl.col("place").min().over("number")).alias("position"))
        .with_columns(pl.col("pseudonym").alias("student"))
        .select(pl.col(c.name).cast(getattr(pl, c.dtype)) for c in INTERACTION_COLUMNS)
        .collect()
    )
    declared = (
        answers.lazy()
        .filter(pl.col("file").is_in(list(held)))
        .select("student", pl.col("file").replace_strict(held, default=None, return_dtype=pl.String))
        .unique()
        .select(pl.col("student").alias("raw"), pl.col("file").alias("declared_split"))
        .collect()
    )
    people = students.join(declared, on="raw", how="left", maintain_order="left").select(
        "raw", "student", "declared_split"
    )
    own, conflicting = attributes(groups)
    if own is not None:
        people = people.join(own, left_on="raw", right_on="student", how="left", maintain_order="left")
    return Tables(
        interactions=ordered.select(wanted),
        skill_sets=skill_sets,
        students=people.drop("raw"),
        conflicting=conflicting,
    )


def _check_order(answers: pl.DataFrame) -> None:
    if any(answers[c].null_count() < answers.height for c in ("time_ms", "order")):
        return
    spread = answers.group_by("student").agg(pl.col("file").n_unique()).filter(pl.col("file") > 1).height
    if spread:
        raise SchemaError(
            f"{spread} students have answers in several files, and no column says when they were given; files have no "
            "order, so a time or an order is needed. Map such a column, or join the files into one in the right order."
        )


def _skill_sets(skills: pl.Series, separator: str | None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the table of sets, and skills text -> id. Each different text is taken apart once."""
    texts = skills.unique().rename("skills").to_frame()
    text = pl.col("skills").fill_null("")
    if separator is not None:
        text = text.str.replace_all(separator, JOIN, literal=True)
    members = text.str.split(JOIN).list.eval(
        pl.element().str.strip_chars().filter(pl.element().str.strip_chars() != "")
    )
    sets = texts.with_columns(members.list.unique().list.sort().alias("set"))
    sets = sets.with_columns(pl.col("set").list.join(JOIN).alias("spelling"))
    known = sets.unique("spelling").sort("spelling").with_row_index("skill_set")
    found = known.select(pl.col("skill_set").cast(pl.UInt32), pl.col("set").alias("skills"))
    return found, sets.join(known.select("skill_set", "spelling"), on="spelling").select("skills", "skill_set")
