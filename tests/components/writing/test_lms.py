"""Grades that Canvas and Moodle import: the columns they need, one per assignment, nothing that a spreadsheet runs."""

import csv
import io
from pathlib import Path

import polars as pl
import pytest

from components.errors import ConfigError
from components.ingest.collect import collect
from components.store import Store
from components.writing.grades import grades_of
from components.writing.ingest.config import WritingIngestConfig, WritingMapping, for_grading
from components.writing.lms import lms_config, named_assignment, own_columns, safe_csv
from components.writing.scale import PromptScale, Scale
from components.writing.submitted import submitted_columns
from tests.components.writing.test_grades import answers


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def essays() -> pl.DataFrame:
    """Two students' answers to one prompt; the second one's was refused."""
    return answers().filter(pl.col("prompt") == "essay")


SUBMITTED = {0: pl.DataFrame({"SIS user id": ["901", "902"], "Student": ["Lovelace, Ada", "=cmd|'/c calc'!A1"]})}


def test_canvas_gets_its_own_spelling_of_columns_and_the_assignments_name() -> None:
    own = own_columns("canvas", ["text", "SIS user id", "Student", "grade"])
    assert own == ["Student", "SIS user id"]
    config = lms_config("canvas", own, assignment="Essay 1 (4711)")
    table = named_assignment(grades_of(essays(), config, submitted=SUBMITTED), "Essay 1 (4711)", ["essay"])
    assert read(safe_csv(table)) == [
        ["Student", "SIS User ID", "Essay 1 (4711)"],
        ["Lovelace, Ada", "901", "7.0"],
        ["'=cmd|'/c calc'!A1", "902", ""],
    ]


def test_moodle_gets_percent() -> None:
    submitted = {0: pl.DataFrame({"Email address": ["a@b.example", "@c.example"]})}
    own = own_columns("moodle", submitted[0].columns)
    config = lms_config("moodle", own, grade="percent")
    table = grades_of(
        essays(), config, submitted=submitted, scales=[PromptScale(prompt="essay", score=Scale(low=2, high=12))]
    )
    assert read(safe_csv(table)) == [["Email address", "essay"], ["a@b.example", "50.0"], ["'@c.example", ""]]


def test_plain_has_a_row_per_response_with_interval_and_note() -> None:
    config = lms_config("plain", own_columns("plain", ["text"]))
    assert read(safe_csv(grades_of(essays(), config))) == [
        ["student", "prompt", "grade", "low", "high", "note"],
        ["p1", "essay", "7.0", "6.0", "8.0", ""],
        ["p2", "essay", "", "", "", "off_prompt"],
    ]


def test_what_cannot_be_imported_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected one of ID, SIS User ID, SIS Login ID"):
        own_columns("canvas", ["text", "name"])
    with pytest.raises(ConfigError, match="the submissions answer 2 prompts"):
        named_assignment(pl.DataFrame(), "Essay 1", ["a", "b"])


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_and_no_header_begins_as_a_formula(start: str) -> None:
    table = pl.DataFrame({f"{start}h": [f"{start}1+1", "a=1", "", None], "n": [-1.0, 2.0, None, 0.0]})
    rows = read(safe_csv(table))
    assert [row[0] for row in rows] == [f"'{start}h", f"'{start}1+1", "a=1", "", ""]
    assert rows[1][1] == "-1.0", "numbers are numbers"


def test_columns_of_submitted_files_keep_the_rows_that_answers_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('ID,text,prompt\n1,"one,\ntwo",a\n2,three,a,too,many\n3,four,a\n')
    raw = collect(Store(tmp_path / "store"), [str(tmp_path / "a.csv")])
    config = WritingIngestConfig(needs_scores=False, quarantine_limit=1.0)
    found = submitted_columns(raw, config, tmp_path, lambda names: own_columns("canvas", names))
    assert found[0]["ID"].to_list() == ["1", None, "3"]


def test_submissions_need_no_scores() -> None:
    mapping = WritingMapping(
        text="T", student="S", score="P", raters=("A", "B"), traits={"style": "Y"}, split="F", groups=("G",)
    )
    found = for_grading(WritingIngestConfig(mapping=mapping, longest_text_chars=9))
    assert found.mapping == WritingMapping(text="T", student="S")
    assert (found.needs_scores, found.longest_text_chars) == (False, 9)
