"""What ingest says: headers known as such, people's data not, totals that are true, and a remedy for every reason."""

import re
from pathlib import Path

import pytest

import components.ingest
from components.errors import QuarantineLimitError, SchemaError
from components.ingest.config import ColumnMapping, IngestConfig
from components.ingest.quarantine import HINTS
from tests.components.ingest.running import ingest_files

EXAMPLE = "pupil_id;task;topics;right;answered_at;language;school_type\n"


@pytest.mark.parametrize("value", ["ja", "1", "true", "0,5", "yes"])
def test_the_header_of_the_how_to_is_known_as_one(tmp_path: Path, value: str) -> None:
    body = EXAMPLE + f"p7;t1;add|mul;{value};2025-09-30;de;A\n"
    with pytest.raises(SchemaError) as caught:
        ingest_files(tmp_path, {"a.csv": body})
    assert "a.csv: columns pupil_id, task, topics, right, answered_at, language, school_type" in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        "anna;task a;right\nbert;task a;wrong\n",
        "anna;task a;right\nbert;task b;wrong\n",
        "anna;task a;good\nanna;task b;bad\n",
        "anna;task a;true\nbert;task b;false\n",
        "anna;task a;yes\nbert;task b;no\n",
        "anna;task a;right\n",
        "anna;anna;good\nbert;bert;bad\n",
        "anna;12;good\nbert;13;bad\n",
    ],
)
def test_a_first_line_of_data_is_not_shown(tmp_path: Path, body: str) -> None:
    with pytest.raises(SchemaError, match=r"3 column\(s\) and a first line that does not look like") as caught:
        ingest_files(tmp_path, {"a.csv": body})
    assert "anna" not in str(caught.value)


@pytest.mark.parametrize(
    ("header", "shown"),
    [
        ("item,skill,time,Anna Schmidt,Ben Maier,Carla Weiss", "columns item, skill, time and 3 more"),
        ("item,skill,time,Max Weiss,Mark,Max,Kind Weiss,Page", "columns item, skill, time and 5 more"),
        ("item,skill,time,max score,Max Points,mark", "columns item, skill, time, max score, Max Points, mark"),
        ("Date of Test;Name of the School;Schmidt;note_maier", "columns Date of Test, Name of the School and 2 more"),
        ("Student,Item,Correct,Anna Schmidt", "columns Student, Item, Correct and 1 more (these are the columns of "),
    ],
)
def test_a_gradebooks_columns_that_may_be_people_are_only_counted(tmp_path: Path, header: str, shown: str) -> None:
    mark = ";" if ";" in header else ","
    with pytest.raises(SchemaError) as caught:
        ingest_files(tmp_path, {"grades.csv": f"{header}\n{mark.join('1' for _ in header.split(mark))}\n"})
    text = str(caught.value)
    assert f"grades.csv: {shown}" in text
    assert "maier" not in text.lower()
    for name in ("Anna", "anna", "Schmidt", "Weiss", "Mark", "Page"):
        assert name not in text


def test_all_files_in_no_layout_are_counted_and_listed(tmp_path: Path) -> None:
    files = {f"{n}.csv": f"pupil_id,task,right\np{n},t,ja\n" for n in range(4)}
    files |= {"odd.csv": "who,what,mark\nx,y,3\n", "good.csv": "student,item,correct\na,b,1\n"}
    with pytest.raises(SchemaError) as caught:
        ingest_files(tmp_path, files)
    text = str(caught.value)
    assert text.startswith("5 of 6 files are in no layout known here")
    line = next(x for x in text.splitlines() if x.endswith("columns pupil_id, task, right"))
    assert sorted(re.findall(r"\d\.csv", line)) == ["0.csv", "1.csv", "2.csv", "3.csv"]
    assert "odd.csv: columns who, what, mark" in text
    assert "good.csv" not in text


def test_every_reason_says_what_is_expected_and_what_to_do() -> None:
    folder = Path(components.ingest.__file__).parent
    source = "\n".join(p.read_text() for p in folder.rglob("*.py"))
    reasons = set(re.findall(r'reason="([a-z][a-z_0-9]+)"', source))
    assert len(reasons) >= 10
    assert reasons <= set(HINTS)
    for name in ("wrong_number_of_cells", "not_utf8", "quotes_do_not_pair", "not_json", "item_missing"):
        assert name in HINTS
    assert all(hint.startswith("expected ") and ("; " in hint) for hint in HINTS.values())


def test_the_limit_says_how_to_map_other_words_and_times(tmp_path: Path) -> None:
    mapping = ColumnMapping(student="who", item="task", correct="right", time="at", time_unit="iso")
    body = "who,task,right,at\np,t1,ja,2025-09-30 14:05\np,t2,1,30.09.2025 14:05\n"
    with pytest.raises(QuarantineLimitError) as caught:
        ingest_files(tmp_path, {"a.csv": body}, IngestConfig(mapping=mapping))
    text = str(caught.value)
    assert "correct_not_0_or_1: 1 rows; expected 1, 1.0, true or 0, 0.0, false" in text
    assert 'right_values = ["ja"]' in text
    assert '"%d.%m.%Y %H:%M" for 30.09.2025 14:05' in text


def test_words_decimal_commas_and_times_of_a_german_table_are_read(tmp_path: Path) -> None:
    body = (
        "Kind;Aufgabe;Richtig;Punkte;Dauer;Zeit\n"
        "k1;a1;Ja;0,75;12,5;30.09.2025 14:05\n"
        "k1;a2;NEIN;0;3;30.09.2025 14:06\n"
        "k1;a3;1;1;1,0;30.09.2025 14:07\n"
        "k1;a4;ja;0.5;1,0;30.09.2025 14:08\n"
        "k1;a5;ja;1;1.234,5;30.09.2025 14:09\n"
        "k1;a6;ja;1;1.234;30.09.2025 14:10\n"
    )
    mapping = ColumnMapping(
        student="Kind", item="Aufgabe", correct="Richtig", right_values=("ja",), wrong_values=("nein",),
        score="Punkte", decimal_comma=True, response_time="Dauer", response_time_unit="s",
        time="Zeit", time_unit="%d.%m.%Y %H:%M",
    )  # fmt: skip
    outcome = ingest_files(tmp_path, {"a.csv": body}, IngestConfig(mapping=mapping, quarantine_limit=0.7))
    assert outcome.interactions.select("item", "correct", "score", "response_ms", "time_ms").rows() == [
        ("a1", 1, 0.75, 12_500, 1_759_241_100_000),
        ("a2", 0, 0.0, 3_000, 1_759_241_160_000),
    ]
    assert outcome.faults == [
        (3, "Richtig", "correct_not_0_or_1"),
        (4, "Punkte", "score_not_from_0_to_1"),
        (5, "Dauer", "response_time_not_a_number"),
        (6, "Dauer", "response_time_not_a_number"),
    ]


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        (("ja",), (), "only one of right_values and wrong_values"),
        (("ja",), ("JA ",), "both hold"),
        (("ja", ""), ("nein",), "holds an empty text"),
    ],
)
def test_words_that_cannot_work_are_refused(right: tuple[str, ...], wrong: tuple[str, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ColumnMapping(student="a", item="b", correct="c", right_values=right, wrong_values=wrong)
