"""Duplicates: overlapping deliveries count once, and repeats that nobody can tell apart are only counted."""

from pathlib import Path

import pytest

from components.errors import QuarantineLimitError
from components.ingest.config import ColumnMapping, IngestConfig
from tests.components.ingest.running import Outcome, ingest_files

HEAD = "student,item,skills,correct,time,attempt\n"
WEEK_1 = "ann,i1,add,1,1000,1\nann,i2,add,0,2000,1\nbea,i1,add,1,1500,1\n"
WEEK_2 = "ann,i2,add,0,2000,1\nbea,i1,add,1,1500,1\nbea,i2,mul,1,3000,1\n"


def conserves(outcome: Outcome) -> bool:
    report = outcome.report
    return bool(report["rows_in"] == report["rows_kept"] + report["rows_quarantined"] + report["rows_merged"])


def test_rows_of_overlapping_files_count_once_and_trip_no_limit(tmp_path: Path) -> None:
    files = {"week1.csv": HEAD + WEEK_1, "week2.csv": HEAD + WEEK_2}
    outcome = ingest_files(tmp_path, files, IngestConfig(quarantine_limit=0.0))
    report = outcome.report
    assert (report["rows_in"], report["rows_kept"], report["rows_duplicate"]) == (6, 4, 2)
    assert (report["rows_quarantined"], report["reasons"]) == (2, {"duplicate_row": 2})
    assert report["possible_duplicates"] == 0
    assert conserves(outcome)
    # the file that comes first in the handle keeps its rows
    assert set(outcome.quarantine["file"]) == {1}
    assert [f["rows_duplicate"] for f in report["files"]] == [0, 2]
    once = ingest_files(tmp_path / "once", {"a.csv": HEAD + WEEK_1 + "bea,i2,mul,1,3000,1\n"})
    columns = ("student", "position", "item", "correct", "time_ms")
    assert outcome.interactions.select(columns).equals(once.interactions.select(columns))
    assert "2 in quarantine, 2 of them delivered before" in outcome.said[-1]


@pytest.mark.parametrize(
    "other",
    ["bob,i1,add,1,1000,1", "ann,i2,add,1,1000,1", "ann,i1,mul,1,1000,1", "ann,i1,add,0,1000,1", "ann,i1,add,1,1001,1",
     "ann,i1,add,1,1000,2"],
)  # fmt: skip
def test_rows_that_differ_in_anything_read_are_two(tmp_path: Path, other: str) -> None:
    outcome = ingest_files(tmp_path, {"a.csv": f"{HEAD}ann,i1,add,1,1000,1\n{other}\n"})
    assert (outcome.logs.rows, outcome.report["rows_duplicate"]) == (2, 0)


def test_the_limit_is_of_rows_that_are_no_duplicates(tmp_path: Path) -> None:
    body = HEAD + "ann,i1,add,1,1000,1\n" * 8 + "ann,i2,add,7,1000,1\n"
    with pytest.raises(QuarantineLimitError, match=r"1 of 2 rows \(50.0%\) are unusable"):
        ingest_files(tmp_path, {"a.csv": body}, IngestConfig(quarantine_limit=0.2))


@pytest.mark.parametrize("time", ["", "86400000"])
def test_without_a_time_of_the_day_repeats_stay_and_are_counted(tmp_path: Path, time: str) -> None:
    body = HEAD + f"ann,i1,add,1,{time},1\n" * 3 + f"ann,i2,add,1,{time},1\n"
    outcome = ingest_files(tmp_path, {"a.csv": body})
    assert (outcome.logs.rows, outcome.report["rows_duplicate"], outcome.report["possible_duplicates"]) == (4, 0, 2)


def test_without_times_and_items_nothing_is_counted(tmp_path: Path) -> None:
    outcome = ingest_files(tmp_path, {"a.csv": "3\n1,1,1\n0,0,0\n"})
    assert (outcome.logs.rows, outcome.report["possible_duplicates"]) == (3, None)


def test_a_row_that_is_held_out_is_not_lost_to_its_copy_elsewhere(tmp_path: Path) -> None:
    row = "ann,i1,add,1,1000,1\n"
    outcome = ingest_files(
        tmp_path,
        {"a.csv": HEAD + row + "bea,i1,add,1,1,1\n"},
        IngestConfig(quarantine_limit=0.5),
        test_files={"t.csv": HEAD + row},
    )
    assert outcome.report["reasons"] == {"student_also_in_test_file": 1}
    assert outcome.report["students_in_test_files"] == 1


def test_duplicates_go_before_rows_of_one_answer_are_merged(tmp_path: Path) -> None:
    body = "who,problem,kc,right,n,at\n" + "a,p1,x,1,10,500\na,p1,y,1,10,500\n" * 2
    mapping = ColumnMapping(student="who", item="problem", skills="kc", correct="right", order="n", time="at")
    outcome = ingest_files(tmp_path, {"a.csv": body}, IngestConfig(mapping=mapping))
    report = outcome.report
    assert (report["rows_kept"], report["rows_duplicate"], report["rows_merged"]) == (1, 2, 1)
    assert conserves(outcome)
    assert outcome.skills == [["x", "y"]]
