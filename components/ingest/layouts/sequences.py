"""Sequence files: a few lines per student, found one record after another, found again behind a broken one."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from components.ingest.answers import ANSWER_SCHEMA, Batch, lost_character
from components.ingest.config import IngestConfig
from components.ingest.faults import QUARANTINE_SCHEMA, Fault, parted
from components.ingest.files import RawFile, open_text
from components.ingest.rows import TextOptions, as_utf8

Lines = Sequence[str]
_LIKE_ANSWERS = re.compile(r"(?:\d(?:,\d)*)?")
"""A line that may be answers, some of them wrong. Behind a broken record the counts alone would be too weak."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequences:
    """Records found in a file."""

    starts: list[int]
    """0-based line on which each whole record begins."""
    broken: list[tuple[int, int]]
    """1-based line on which something else begins, and how many answers are lost there: its longest line's cells."""
    blank_lines: int


def read_lines(file: RawFile, config: IngestConfig) -> list[str]:
    """Return the file's lines without line ends and without a last comma."""
    options = TextOptions(names=(), has_header=False, delimiter=",", encoding=config.encoding)
    with open_text(file) as stream:
        text = as_utf8(stream.read(), options).decode("utf-8", errors="replace")
    lines = [line.strip().removesuffix(",") for line in text.split("\n")]
    return lines if lines[-1] else lines[:-1]


def cells(line: str) -> int:
    """Return how many values a line holds."""
    return line.count(",") + 1 if line else 0


def find_sequences(lines: Lines, size: int, is_record: Callable[[Lines, int], bool]) -> Sequences:
    """Return where the records of `size` lines are.

    Args:
        lines: the file.
        size: lines per record.
        is_record: whether the counts of the record that begins at a line agree.
    """
    starts: list[int] = []
    broken: list[tuple[int, int]] = []
    blank = at = 0
    while at < len(lines):
        if not lines[at]:
            blank += 1
            at += 1
        elif at + size <= len(lines) and is_record(lines, at):
            starts.append(at)
            at += size
        else:
            end = at + 1
            while end < len(lines) and not (
                end + size <= len(lines) and is_record(lines, end) and _LIKE_ANSWERS.fullmatch(lines[end + size - 1])
            ):
                end += 1
            broken.append((at + 1, max(map(cells, lines[at:end]))))
            blank += sum(not line for line in lines[at:end])
            at = end
    return Sequences(starts=starts, broken=broken, blank_lines=blank)


def sequence_batch(
    file: RawFile,
    found: Sequences,
    students: Sequence[str],
    items: Sequence[str] | None,
    skills: Sequence[str],
    answers: Sequence[str],
) -> Batch:
    """Return the answers of whole records and the quarantine of the broken ones.

    Args:
        file: where they come from.
        found: the records' places.
        students: a name per record.
        items: the line of items per record, or None where the source has none.
        skills: the line of skills per record.
        answers: the line of answers per record.
    """
    columns = {"skills": skills, "answer": answers, **({} if items is None else {"item": items})}
    lines = pl.DataFrame(
        {"student": students, "row": [at + 1 for at in found.starts], **columns},
        schema={"student": pl.String, "row": pl.UInt32, **dict.fromkeys(columns, pl.String)},
    )
    rows = (
        lines.filter(pl.col("answer") != "")
        .with_columns(pl.col(c).str.split(",") for c in columns)
        .explode(*columns)
        .with_columns(pl.col(c).str.strip_chars() for c in columns)
    )
    correct = pl.when(pl.col("answer") == "1").then(1).when(pl.col("answer") == "0").then(0)
    rows = rows.with_columns(
        pl.lit(file.index, pl.UInt16).alias("file"),
        correct.cast(pl.Int8).alias("correct"),
        *(pl.when(pl.col(c) != "").then(pl.col(c)).alias(c) for c in columns if c != "answer"),
    )
    faults = [Fault(column=c, reason=f"{c}_missing", is_at_fault=pl.col(c).is_null()) for c in columns if c != "answer"]
    faults += [lost_character(c, c) for c in ("student", *columns) if c != "answer"]
    faults.append(Fault(column="correct", reason="correct_not_0_or_1", is_at_fault=pl.col("correct").is_null()))
    kept, quarantine = parted(rows, faults)
    lost = [line for line, count in found.broken for _ in range(count)]
    broken = pl.DataFrame({"row": lost}, schema={"row": pl.UInt32}).select(
        pl.lit(file.index, pl.UInt16).alias("file"),
        "row",
        pl.lit(None, pl.String).alias("column"),
        pl.lit("sequence_lengths_differ").alias("reason"),
    )
    return Batch(
        answers=kept.select(
            pl.col(n).cast(t) if n in kept.columns else pl.lit(None, t).alias(n) for n, t in ANSWER_SCHEMA.items()
        ),
        quarantine=pl.concat([quarantine.cast(QUARANTINE_SCHEMA), broken]),
        groups=pl.DataFrame(),
        rows_in=rows.height + len(lost),
        blank_lines=found.blank_lines,
    )
