"""The layout `exam_time`: submissions in timed exams (curr_time in ms, id, question, score), cleaned as published."""

import re

import polars as pl

from components.ingest.config import ColumnMapping, IngestConfig
from components.ingest.faults import Fault
from components.ingest.heads import Head
from components.ingest.layouts.layout import TableLayout
from components.ingest.rows import TextOptions

COLUMNS = ("curr_time", "id", "question", "score")
_ROW = re.compile(r"-?\d+\t[^\t]+\tq\d+_\d+\t[\d.eE-]+")


class ExamTime(TableLayout):
    """Tab separated, with or without a header; one file is one exam.

    A question `q<category>_<variant>` is the item, its category the skill. It has several rows as the score rises; all
    are kept.

    After the data set's authors (doi 10.1145/3478432.3499123), a student with a negative time, and one whose number of
    different questions is not the exam's, go to quarantine whole. The exam's number is the one most students have. They
    kept the few rows that occur twice, so these stay.
    """

    name = "exam_time"
    keeps_duplicates = True

    def recognise(self, head: Head) -> bool:
        """Return whether the header is there, or the first line looks like a submission."""
        return set(head.columns) == set(COLUMNS) or (bool(head.lines) and _ROW.fullmatch(head.lines[0]) is not None)

    def mapping(self, columns: tuple[str, ...]) -> ColumnMapping:
        """Return the fixed mapping."""
        return ColumnMapping(student="id", item="question", skills="category", score="score", time="curr_time")

    def made_columns(self) -> tuple[str, ...]:
        """Return `category`."""
        return ("category",)

    def prepare(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the block with the question's category."""
        return frame.with_columns(pl.col("question").str.extract(r"^\s*(.+)_[^_]*$").alias("category"))

    def options(self, head: Head, config: IngestConfig) -> TextOptions:
        """Return the options; without a header the columns are named by place."""
        has_header = set(head.columns) == set(COLUMNS)
        return TextOptions(
            names=head.columns if has_header else COLUMNS,
            has_header=has_header and head.format == "text",
            delimiter=(head.delimiter if has_header else "\t") or "\t",
            encoding=config.encoding,
        )

    def late_faults(self, answers: pl.DataFrame) -> list[Fault]:
        """Return the two rules of the data set's authors."""
        taken = answers.group_by("file", "student").agg(pl.col("item").n_unique().alias("questions"))
        common = taken.group_by("file", "questions").len().sort("file", "len", "questions").group_by("file").last()
        whole = pl.col("file").replace_strict(common["file"], common["questions"], return_dtype=pl.UInt32)
        sitting = ["file", "student"]
        return [
            Fault(
                column="curr_time",
                reason="student_with_negative_time",
                is_at_fault=(pl.col("time_ms") < 0).any().over(sitting),
            ),
            Fault(
                column="question",
                reason="student_incomplete",
                is_at_fault=pl.col("item").n_unique().over(sitting) != whole,
            ),
        ]
