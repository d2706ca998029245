"""Erased students and responses in scored writing, and overrides of theirs."""

from pathlib import Path

import polars as pl

from components.pseudonyms import pseudonyms
from components.store import Store
from components.tombstones import Kind, name_of, path_of
from tests.components.writing.ingest.running import KEY, ingest_files
from tests.components.writing.ingest.test_overriding import BODY, LIMITS, ingested, later, named


def erase(folder: Path, raw: str, of: Kind = "student", kind: Kind = "student") -> None:
    (pseudonym,) = pseudonyms(KEY, [raw], of)
    Store(folder / "store").write_record(path_of(KEY.id, name_of(pseudonym, kind)), {"format": 1})


def test_a_students_responses_are_left_out_and_counted(tmp_path: Path) -> None:
    before = ingest_files(tmp_path, {"a.csv": BODY}, LIMITS)
    erase(tmp_path, "s1")
    found = ingest_files(tmp_path, {"a.csv": BODY}, LIMITS)
    rest = before.responses.filter(pl.col("student") != named("student", "s1")["student"])
    assert found.responses.equals(rest)
    assert found.responses.height == 3
    assert found.students.height == before.students.height - 1
    report = found.report
    assert (report["rows_in"], report["rows_kept"], report["rows_erased"], report["rows_merged"]) == (5, 3, 2, 0)
    assert report["files"][0]["rows_erased"] == 2
    assert "2 rows of erased students left out" in found.said


def test_a_single_response_can_be_left_out(tmp_path: Path) -> None:
    erase(tmp_path, "r3", "response", "response")
    assert ingest_files(tmp_path, {"a.csv": BODY}, LIMITS).by_row["row"].to_list() == [1, 2, 4, 5]


def test_overrides_of_an_erased_student_are_left_out_however_they_name_them(tmp_path: Path) -> None:
    erase(tmp_path, "s1")
    erase(tmp_path, "r1", "response", "response")
    overrides = [
        later(1, prompt="a", text="An override of theirs.", score=6.0, **named("student", "s1")),
        later(2, prompt="a", text="Another.", score=6.0, **named("response", "r1")),
        later(3, prompt="b", text="One fine text.", score=6.0),  # by the text alone, which nobody else wrote
        later(4, prompt="b", text="Handed in twice.", score=4.0, **named("student", "s4")),
    ]
    found = ingested(tmp_path, overrides)
    assert found.texts == ["Another text.", "Handed in twice.", "Handed in twice."]
    assert (found.writing.overrides, found.report["overrides"]["given"]) == (1, 1)
    assert found.report["overrides"]["responses_added"] == 0
    snapshot = list((tmp_path / "store").rglob("overrides.jsonl"))
    body = b"".join(path.read_bytes() for path in snapshot)
    assert b"An override of theirs." not in body, "what names them does not even reach the store"
    assert b"Another." not in body
    assert b"Handed in twice." in body


def test_a_text_that_others_wrote_too_keeps_its_override(tmp_path: Path) -> None:
    erase(tmp_path, "s3")
    found = ingested(tmp_path, [later(1, prompt="b", text="Handed in twice.", score=6.0)])
    assert found.writing.overrides == 1
    assert found.responses.filter(pl.col("score") == 6).height == 1


def test_a_response_of_nobody_in_particular_is_its_own_student(tmp_path: Path) -> None:
    body = "response,prompt,text,score\nr1,a,One text.,1\nr2,a,Two texts.,2\n"
    erase(tmp_path, "r1", "response")
    found = ingest_files(tmp_path, {"a.csv": body})
    assert found.texts == ["Two texts."]
