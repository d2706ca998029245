"""Grades for import: columns by configuration, long and wide, points and percent, and the source's own ids put back."""

import polars as pl
import pytest

from components.config import make_config
from components.errors import ConfigError, SchemaError
from components.writing.grades import GradesConfig, grades_of
from components.writing.scale import PromptScale, Scale
from components.writing.scorer import COLUMNS

SCALES = (
    PromptScale(prompt="essay", score=Scale(low=2, high=12)),
    PromptScale(prompt="short", score=Scale(low=0, high=3)),
)


def answers() -> pl.DataFrame:
    """Two students; the second one's essay was refused."""
    return pl.DataFrame(
        {
            "response": ["r1", "r2", "r3", "r4"],
            "student": ["p1", "p1", "p2", "p2"],
            "prompt": ["essay", "short", "essay", "short"],
            "score": [7.0, 2.0, None, 3.0],
            "raw": [7.2, 1.9, None, 2.8],
            "low": [6.0, 1.0, None, 2.0],
            "high": [8.0, 3.0, None, 3.0],
            "abstained": [None, None, "off_prompt", None],
            "file": [0, 1, 0, 1],
            "row": [1, 2, 2, 1],
        },
        schema=COLUMNS,
    )


def test_a_long_table_has_a_row_per_response_and_an_empty_grade_with_a_note() -> None:
    found = grades_of(answers(), GradesConfig())
    assert found.columns == ["Student", "Assignment", "Grade", "Note"]
    assert found["Grade"].to_list() == [7, 2, None, 3]
    assert found["Note"].to_list() == ["", "", "off_prompt", ""]


def test_percent_is_of_the_range_of_each_prompt() -> None:
    config = GradesConfig(columns=("Who = student", "Mark = grade"), grade="percent", decimals=1)
    assert grades_of(answers(), config, scales=SCALES)["Mark"].to_list() == [50.0, 66.7, None, 100.0]
    with pytest.raises(ConfigError, match="range is not known for 1 of the prompts"):
        grades_of(answers(), config, scales=SCALES[:1])


def test_the_ids_of_the_submitted_files_are_put_back_by_file_and_row() -> None:
    config = GradesConfig(columns=("SIS User ID = own:sis", "Points = grade"))
    submitted = {
        0: pl.DataFrame({"sis": [901, 902], "essay": ["...", "..."]}),
        1: pl.DataFrame({"sis": ["902", "901"], "text": ["...", "..."]}),
    }
    found = grades_of(answers(), config, submitted=submitted)
    assert found.rows() == [("901", 7.0), ("901", 2.0), ("902", None), ("902", 3.0)]


def test_a_wide_table_has_a_row_per_student_and_a_column_per_prompt() -> None:
    config = GradesConfig(columns=("ID = own:sis", "Name = student", "{prompt} (points) = grade"), shape="wide")
    submitted = {n: pl.DataFrame({"sis": ids}) for n, ids in enumerate((["901", "902"], ["902", "901"]))}
    found = grades_of(answers(), config, submitted=submitted)
    assert found.columns == ["ID", "Name", "essay (points)", "short (points)"]
    assert found.rows() == [("901", "p1", 7.0, 2.0), ("902", "p2", None, 3.0)]


def test_several_answers_of_a_student_to_a_prompt_fit_no_cell() -> None:
    config = GradesConfig(columns=("Name = student", "{prompt} = grade"), shape="wide")
    twice = answers().with_columns(prompt=pl.lit("essay"))
    with pytest.raises(SchemaError, match="2 times a student has several answers to one prompt"):
        grades_of(twice, config)


def test_files_that_are_missing_or_others_are_refused() -> None:
    config = GradesConfig(columns=("ID = own:sis", "Points = grade"))
    with pytest.raises(ConfigError, match="2 of the 2 submitted files are not given"):
        grades_of(answers(), config)
    whole = pl.DataFrame({"sis": ["901", "902"]})
    with pytest.raises(SchemaError, match="Submitted file 1 has no column sis"):
        grades_of(answers(), config, submitted={0: whole, 1: whole.rename({"sis": "id"})})
    with pytest.raises(SchemaError, match="Submitted file 1 has 1 rows, an answer is of row 2"):
        grades_of(answers(), config, submitted={0: whole, 1: whole.head(1)})


def test_no_answers_make_an_empty_table() -> None:
    assert grades_of(answers().clear(), GradesConfig()).height == 0
    wide = GradesConfig(columns=("Name = student", "{prompt} = grade"), shape="wide")
    assert grades_of(answers().clear(), wide).columns == ["Name"]
    own = GradesConfig(columns=("ID = own:sis",))
    assert grades_of(answers().clear(), own, submitted={}).columns == ["ID"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"columns": []}, "columns is empty"),
        ({"columns": ["Grade"]}, "columns has 'Grade'; expected `Header = source`"),
        ({"columns": ["Text = text"]}, "with a source of student, response"),
        ({"columns": ["ID = own:"]}, "expected `Header = source`"),
        ({"columns": ["A = grade", "A = raw"]}, "columns has a header twice"),
        ({"shape": "wide"}, r"a wide table has a row per student"),
        ({"shape": "wide", "columns": ["A = student", "Grade = grade"]}, r"header of grade has no \{prompt\}"),
        ({"decimals": 9}, "decimals is 9; expected 0 to 6"),
    ],
)
def test_a_table_that_makes_no_sense_is_said_so(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_config(GradesConfig, values)
