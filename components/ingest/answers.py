"""Answers: a block of a source table read into the schema's types, with the rows that could not be, and the groups."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from components.ingest.config import ColumnMapping
from components.ingest.faults import Fault, parted
from components.ingest.readings import as_decimal, as_judgement, as_milliseconds, as_text, as_whole, is_given

LONGEST_NAME_BYTES = 1000
"""A longer id, skill or group is a misplaced text."""
LONGEST_SKILLS_BYTES = 10_000

ANSWER_SCHEMA = {
    "student": pl.String,
    "item": pl.String,
    "skills": pl.String,
    "correct": pl.Int8,
    "score": pl.Float32,
    "time_ms": pl.Int64,
    "response_ms": pl.Int64,
    "attempt": pl.Int32,
    "order": pl.Int64,
    "file": pl.UInt16,
    "row": pl.UInt32,
}
"""Rows between reading and assembling: `student` still raw, `skills` still one text, `order` the source's own order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What a layout made of some rows of a file."""

    answers: pl.DataFrame
    """In `ANSWER_SCHEMA`."""
    quarantine: pl.DataFrame
    groups: pl.DataFrame
    """`student` (raw) and one String column per group attribute, without repeats; no columns where there are none."""
    rows_in: int
    """Rows read, blank lines not counted: those of `answers` and of `quarantine`."""
    blank_lines: int = 0


def read_answers(
    frame: pl.DataFrame, mapping: ColumnMapping, groups: Mapping[str, str], file: int
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Return answers, quarantine and groups of a block.

    Args:
        frame: the source's columns and `row`.
        mapping: which of them holds what.
        groups: source column -> name of the group attribute.
        file: index of the file.
    """
    read: dict[str, pl.Series] = {"student": as_text(frame[mapping.student])}
    faults = [
        Fault(column=mapping.student, reason="student_missing", is_at_fault=pl.col("student").is_null()),
        _too_long("student", mapping.student),
        lost_character("student", mapping.student),
    ]
    if mapping.item is not None:
        read["item"] = as_text(frame[mapping.item])
        faults += [_too_long("item", mapping.item), lost_character("item", mapping.item)]
    if mapping.skills is not None:
        read["skills"] = as_text(frame[mapping.skills])
        faults.append(_too_long("skills", mapping.skills, LONGEST_SKILLS_BYTES))
        faults.append(lost_character("skills", mapping.skills))
    faults.append(_nameless(mapping))
    faults += _judged(frame, mapping, read)
    faults += _measured(frame, mapping, read)
    for source, name in groups.items():
        read[f"group {name}"] = as_text(frame[source])
        faults.append(_too_long(f"group {name}", source))
    typed = frame.select(pl.lit(file, pl.UInt16).alias("file"), "row").with_columns(s.alias(n) for n, s in read.items())
    kept, quarantine = parted(typed, faults)
    answers = kept.select(
        pl.col(n).cast(t) if n in kept.columns else pl.lit(None, t).alias(n) for n, t in ANSWER_SCHEMA.items()
    )
    if not groups:
        return answers, quarantine, pl.DataFrame()
    attributes = kept.select("student", *(pl.col(f"group {n}").alias(n) for n in groups.values()))
    return answers, quarantine, attributes.unique()


def _nameless(mapping: ColumnMapping) -> Fault:
    """Return the fault of a row that names neither item nor skill where the source has a column for either."""
    given = [n for n, source in (("item", mapping.item), ("skills", mapping.skills)) if source is not None]
    return Fault(
        column=mapping.item or mapping.skills,
        reason="_and_".join(given) + "_missing",
        is_at_fault=pl.all_horizontal(pl.col(n).is_null() for n in given),
    )


def _judged(frame: pl.DataFrame, mapping: ColumnMapping, read: dict[str, pl.Series]) -> list[Fault]:
    """Read `correct` and `score`; at least one must be there in each row."""
    faults = []
    columns: list[str] = []
    if (source := mapping.correct) is not None:
        columns.append(source)
        read["correct"] = as_judgement(frame[source], mapping.right_values, mapping.wrong_values)
        faults.append(_unreadable(frame[source], read, "correct", source, "correct_not_0_or_1"))
    if (source := mapping.score) is not None:
        columns.append(source)
        number = as_decimal(frame[source], has_comma=mapping.decimal_comma)
        read["score"] = number.set(~number.is_between(0, 1), None)
        faults.append(_unreadable(frame[source], read, "score", source, "score_not_from_0_to_1"))
    given = [n for n in ("correct", "score") if n in read]
    nothing = pl.all_horizontal(pl.col(n).is_null() for n in given)
    return [*faults, Fault(column=columns[0], reason=f"{given[0]}_missing", is_at_fault=nothing)]


def _measured(frame: pl.DataFrame, mapping: ColumnMapping, read: dict[str, pl.Series]) -> list[Fault]:
    """Read the numbers that may be missing but not unreadable."""
    faults = []
    if (source := mapping.time) is not None:
        read["time_ms"] = as_milliseconds(frame[source], mapping.time_unit)
        faults.append(_unreadable(frame[source], read, "time_ms", source, "time_not_readable"))
    if (source := mapping.response_time) is not None:
        taken = frame[source]
        if mapping.decimal_comma and not taken.dtype.is_temporal():
            taken = as_decimal(taken, has_comma=True)
        read["response_ms"] = as_milliseconds(taken, mapping.response_time_unit)
        faults.append(_unreadable(frame[source], read, "response_ms", source, "response_time_not_a_number"))
        negative = pl.col("response_ms") < 0
        faults.append(Fault(column=source, reason="response_time_negative", is_at_fault=negative))
    if (source := mapping.attempt) is not None:
        read["attempt"] = as_whole(frame[source])
        faults.append(_unreadable(frame[source], read, "attempt", source, "attempt_not_a_whole_number"))
        outside = ~pl.col("attempt").is_between(1, 2**31 - 1)
        faults.append(Fault(column=source, reason="attempt_below_1", is_at_fault=outside))
    if (source := mapping.order) is not None:
        read["order"] = as_whole(frame[source])
        faults.append(_unreadable(frame[source], read, "order", source, "order_not_a_whole_number"))
        faults.append(Fault(column=source, reason="order_missing", is_at_fault=pl.col("order").is_null()))
    return faults


def _unreadable(cells: pl.Series, read: dict[str, pl.Series], target: str, source: str, reason: str) -> Fault:
    """Return the fault of cells with something in them that could not be read."""
    values = read[target]
    if values.null_count() == cells.null_count():
        return Fault(column=source, reason=reason, is_at_fault=pl.lit(False))
    return Fault(column=source, reason=reason, is_at_fault=pl.lit(values.is_null() & is_given(cells)))


def _too_long(target: str, source: str, longest: int = LONGEST_NAME_BYTES) -> Fault:
    return Fault(column=source, reason="text_too_long", is_at_fault=pl.col(target).str.len_bytes() > longest)


def lost_character(target: str, source: str) -> Fault:
    """Return the fault of names with U+FFFD, which stands for what could not be read: two names may have become one."""
    has_mark = pl.col(target).str.contains("\ufffd", literal=True)
    return Fault(column=source, reason="character_lost", is_at_fault=has_mark)
