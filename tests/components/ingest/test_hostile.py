"""What fuzzing found, each with the smallest file that shows it."""

import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from components.errors import SchemaError
from components.ingest.column_words import enough_are_column_words, words_of
from components.ingest.config import ColumnMapping, IngestConfig
from components.ingest.lines import recoded
from components.ingest.logs import said_of_future
from tests.components.ingest.running import ALL_MAY_FAIL, ingest_files

ANY = IngestConfig(quarantine_limit=ALL_MAY_FAIL)


def parquet(**columns: object) -> bytes:
    stream = io.BytesIO()
    pl.DataFrame(columns).write_parquet(stream)
    return stream.getvalue()


def test_a_header_that_ends_with_a_return_alone_does_not_take_a_students_row_for_columns(tmp_path: Path) -> None:
    body = "student,item,correct,group_region\ranna,t4,1,south\nbert,t4,1,south\n"
    with pytest.raises(SchemaError, match=r"a carriage return alone; .*tr '\\r' '\\n' < a.csv") as caught:
        ingest_files(tmp_path, {"a.csv": body}, ANY)
    assert "anna" not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        "anna,math,good\nbert,science,bad\n",
        "anna smith,bert jones,carl young\n1,0,1\n",
        "anna,task a,good\nbert,task b,bad\n",
        '{"anna": 1, "bert": 0}\n',
    ],
)
def test_peoples_words_in_the_place_of_columns_are_not_shown(tmp_path: Path, body: str) -> None:
    with pytest.raises(SchemaError, match=r"[23] column\(s\) and a first line that does not look like") as caught:
        ingest_files(tmp_path, {"a.csv": body})
    assert "anna" not in str(caught.value)
    assert "bert" not in str(caught.value)


def test_a_parquet_column_per_student_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"2 column\(s\) and a first line") as caught:
        ingest_files(tmp_path, {"a.parquet": parquet(anna=[1, 0], bert=[0, 1])})
    assert "anna" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["Student ID", "student_id", "studentId", "STUDENT-ID", "Schüler", "élève", "kc(default)"]
)
def test_names_of_columns_are_known_however_they_are_spelt(name: str) -> None:
    assert enough_are_column_words([words_of(name)])


def test_a_mark_at_the_start_stands_above_a_configured_encoding(tmp_path: Path) -> None:
    text = "student,item,skills,correct\nZoë,i,Brüche,1\n"
    config = IngestConfig(encoding="cp1252")
    for name, body in (("8", text.encode("utf-8-sig")), ("16", text.encode("utf-16"))):
        assert ingest_files(tmp_path / name, {"a.csv": body}, config).skills == [["Brüche"]]


def test_names_of_columns_are_read_in_the_configured_encoding(tmp_path: Path) -> None:
    mapping = ColumnMapping(student="Schüler", item="Übung", correct="richtig")
    body = "Schüler;Übung;richtig\ns1;Ü1;1\n".encode("cp1252")
    outcome = ingest_files(tmp_path, {"a.csv": body}, IngestConfig(mapping=mapping, encoding="cp1252"))
    assert outcome.interactions["item"].to_list() == ["Ü1"]


@pytest.mark.parametrize(
    ("cell", "encoding"),
    [
        ("Brüche".encode(), "cp1252"),  # UTF-8, would become "BrÃ¼che"
        ("Brüche".encode(), "latin-1"),
        (b"x\x81", "cp1252"),  # one of the five bytes that cp1252 has not
        (b"x\x93", "latin-1"),  # a quotation mark of cp1252, a control in Latin-1
    ],
)
def test_rows_that_cannot_be_in_the_configured_encoding_are_set_apart(
    tmp_path: Path, cell: bytes, encoding: str
) -> None:
    body = b"student,item,skills,correct\ns,i,add,1\ns,j," + cell + b',1\ns,k,"' + cell + b'",1\ns,l,\xfc,0\n'
    config = IngestConfig(encoding="latin-1" if encoding == "latin-1" else "cp1252", quarantine_limit=0.5)
    outcome = ingest_files(tmp_path, {"a.csv": body}, config)
    assert outcome.faults == [(2, None, "not_in_the_encoding"), (3, None, "not_in_the_encoding")]
    assert outcome.skills == [["add"], ["ü"]]


def test_a_row_made_unreadable_keeps_its_quotes() -> None:
    block = recoded('"a","é"""\n'.encode(), "cp1252")
    assert block == b'"a","\xff\xc3\xa9"""\n'


@pytest.mark.parametrize("column", ["student", "item", "skills"])
def test_a_name_with_a_lost_character_is_set_apart(tmp_path: Path, column: str) -> None:
    bad = {"student": "s", "item": "j", "skills": "add"} | {column: "M\ufffdller"}
    body = f"student,item,skills,correct\ns,i,add,1\n{bad['student']},{bad['item']},{bad['skills']},1\n"
    outcome = ingest_files(tmp_path, {"a.csv": body}, ANY)
    assert outcome.faults == [(2, column, "character_lost")]


def test_ids_in_sequences_that_are_no_text_are_set_apart(tmp_path: Path) -> None:
    body = b"0,s1\ni1,i2\nk,k\n1,0\n1,\xff\ni1\nk\n1\n2,\xfe\ni1\nk\n1\n"
    outcome = ingest_files(tmp_path, {"a.csv": body}, ANY)
    assert [(column, reason) for _, column, reason in outcome.faults] == [("student", "character_lost")] * 2
    assert outcome.logs.students == 1


def test_lone_surrogates_in_json_do_not_make_one_student_of_two(tmp_path: Path) -> None:
    lines = [json.dumps({"student": s, "item": "i", "correct": 1}) for s in ("s", "\ud800x", "\udc00x", "\U0001f600")]
    outcome = ingest_files(tmp_path, {"a.jsonl": "\n".join(lines)}, ANY)
    assert outcome.faults == [(2, "student", "character_lost"), (3, "student", "character_lost")]
    assert outcome.logs.students == 2


def test_json_nested_too_deeply_for_the_parser_is_one_bad_row(tmp_path: Path) -> None:
    body = '{"student": "s", "item": "i", "correct": 1}\n' + "[" * 100_000 + "\n"
    assert ingest_files(tmp_path, {"a.jsonl": body}, ANY).faults == [(2, None, "not_json")]


def test_the_least_of_all_whole_numbers_is_no_time(tmp_path: Path) -> None:
    body = f"student,item,correct,time\ns,i,1,5\ns,j,1,{-(2**63)}\n"
    assert ingest_files(tmp_path, {"a.csv": body}, ANY).faults == [(2, "time", "time_not_readable")]


def test_a_file_of_one_unit_separator_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"1 column\(s\) and a first line"):
        ingest_files(tmp_path, {"a.csv": b"\x1f"})
    with pytest.raises(SchemaError, match="lacks the column"):  # white space to str.strip, not to bytes.strip
        ingest_files(tmp_path / "named", {"a.csv": b"\x1f"}, IngestConfig(layout="item_rows"))


def test_parquet_columns_that_nest_values_are_refused(tmp_path: Path) -> None:
    body = parquet(student=["s"], item=[{"a": 1}], correct=[1])
    with pytest.raises(SchemaError, match=r"column\(s\) item with several values in one cell \(a struct\)"):
        ingest_files(tmp_path, {"a.parquet": body})


def test_parquet_columns_of_odd_types_are_read_or_set_apart(tmp_path: Path) -> None:
    body = parquet(
        student=pl.Series([b"s", b"s", b"\xff"]),
        item=["i", "j", "k"],
        correct=pl.Series([1, 0, 1], dtype=pl.Decimal(4, 2)),
        attempt=pl.Series([None, 1, None], dtype=pl.Duration("ms")),
    )
    outcome = ingest_files(tmp_path, {"a.parquet": body}, ANY)
    assert outcome.faults == [(2, "attempt", "attempt_not_a_whole_number"), (3, "student", "character_lost")]
    assert outcome.interactions.select("item", "correct").rows() == [("i", 1)]


def test_damage_on_which_polars_panics_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def panic(*args: object, **kwargs: object) -> None:
        raise pl.exceptions.PanicException("offset + length <= self.length")

    body = parquet(student=["s"], item=["i"], correct=[1])
    monkeypatch.setattr(pl, "read_parquet", panic)
    with pytest.raises(SchemaError, match=r"cannot be read \(PanicException\): it is damaged. Have it sent again."):
        ingest_files(tmp_path, {"a.parquet": body})


@pytest.mark.parametrize(
    ("latest", "kept"),
    [
        ("2025-09-30", [1, 2]),
        ("2025-09-30T12:00:00", [1]),
        ("2025-09-30T12:00:00+02:00", [1]),
        ("2025-09-30T16:00:00+02:00", [1, 2]),
        ("2025-10-01", [1, 2, 3]),
    ],
)
def test_answers_behind_the_latest_time_are_set_apart(tmp_path: Path, latest: str, kept: list[int]) -> None:
    mapping = ColumnMapping(student="s", item="i", correct="c", time="t", time_unit="iso")
    body = "s,i,c,t\na,1,1,2025-09-30 09:59\na,2,1,2025-09-30 13:59:59\na,3,1,2025-10-01 00:00\n"
    config = IngestConfig(mapping=mapping, latest_time=latest, quarantine_limit=ALL_MAY_FAIL)
    outcome = ingest_files(tmp_path, {"a.csv": body}, config)
    assert outcome.interactions["row"].to_list() == kept
    assert {reason for _, _, reason in outcome.faults} <= {"time_in_future"}


def test_the_clock_only_warns_and_not_of_times_from_another_origin() -> None:
    now = datetime(2025, 9, 30, 12, tzinfo=UTC)
    just_ahead, far_ahead = (round((now + d).timestamp() * 1000) for d in (timedelta(hours=23), timedelta(hours=25)))
    assert said_of_future(pl.Series([0, 3_600_000, just_ahead]), now) is None
    assert said_of_future(pl.Series([None, None], dtype=pl.Int64), now) is None
    said = said_of_future(pl.Series([0, far_ahead]), now)
    assert said is not None
    assert said.startswith("warning: 1 of 2 answers are dated in the future (after 2025-10-01 12:00 UTC) and were kept")
