"""Layouts: small files by hand, each recognised by itself."""

import hashlib
from pathlib import Path

import pytest

from components.errors import ConfigError
from components.ingest.config import IngestConfig
from tests.components.ingest.running import KEY, Outcome, ingest_files

ASSISTMENTS_HEADER = (
    "order_id,user_id,problem_id,correct,attempt_count,ms_first_response,skill_id,skill_name,answer_text"
)


def rows(outcome: Outcome, *columns: str) -> list[tuple[object, ...]]:
    return list(outcome.interactions.select(columns).iter_rows())


def test_assistments_raw_merges_the_rows_of_an_order_id(tmp_path: Path) -> None:
    lines = [
        ASSISTMENTS_HEADER,
        "30,7,p3,0,2,500,2,Area,4",
        "10,7,p1,1,1,900,1,Box and Whisker,88",
        '10,7,p1,1,1,900,2,Area,"8,8"',
        "20,7,p2,1,0,100,104,,x",
        "25,7,p9,1,1,100,,,caf\xe9",
    ]
    body = b"\xef\xbb\xbf" + "\n".join(lines).encode("latin-1")
    outcome = ingest_files(tmp_path, {"skill_builder.csv": body})
    assert outcome.logs.layout == "assistments_raw"
    assert rows(outcome, "position", "item", "correct", "response_ms", "row") == [
        (0, "p1", 1, 900, 2),
        (1, "p2", 1, 100, 4),
        (2, "p9", 1, 100, 5),
        (3, "p3", 0, 500, 1),
    ]
    assert outcome.skills == [["Area", "Box and Whisker"], ["skill 104"], [], ["Area"]]
    assert outcome.report["rows_merged"] == 1
    assert outcome.interactions["attempt"].null_count() == outcome.interactions["time_ms"].null_count() == 4
    apart = ingest_files(tmp_path / "rows", {"a.csv": body}, IngestConfig(protocol="row_per_skill"))
    assert apart.skills == [["Box and Whisker"], ["Area"], ["skill 104"], [], ["Area"]]


def test_sequences3_names_students_by_file_and_place(tmp_path: Path) -> None:
    body = "3\n1,2,1\n0,1,1\n1\n21\n0\n2\n5,6,\n1,0,\n"
    outcome = ingest_files(tmp_path, {"train.csv": body})
    assert outcome.logs.layout == "sequences3"
    digest = hashlib.sha256(body.encode()).hexdigest()
    names = [KEY.mac(b"student\0" + f"{digest}:{n}".encode())[:16].hex() for n in range(3)]
    by_student = {names[0]: [0, 1, 1], names[1]: [0], names[2]: [1, 0]}
    expected = [(s, c) for s in sorted(by_student) for c in by_student[s]]
    assert rows(outcome, "student", "correct") == expected
    assert outcome.logs.items == 0
    assert outcome.interactions["item"].null_count() == 6
    assert sorted(outcome.interactions["row"].unique()) == [1, 4, 7]


def test_sequences3_finds_its_way_behind_a_broken_student(tmp_path: Path) -> None:
    broken = "4\n1,2,3,4\n0,1,1\n"
    body = "2\n1,2\n0,1\n" + broken + "\n3\n7,8,9\n1,2,1\n0\n\n\n1\n5\n1\n"
    outcome = ingest_files(tmp_path, {"a.csv": body}, IngestConfig(quarantine_limit=0.6))
    assert outcome.faults == [(4, None, "sequence_lengths_differ")] * 4 + [(8, "correct", "correct_not_0_or_1")]
    assert sorted(x for [x] in outcome.skills) == ["1", "2", "5", "7", "9"]
    assert outcome.report["rows_in"] == 10
    assert outcome.logs.students == 3


def test_sequences4_merges_skill_rows_until_a_skill_comes_again(tmp_path: Path) -> None:
    # p1 with skills a, b, met twice with the same answer; then p1 wrong; then p2 right
    body = "1,joe\np1,p1,p1,p1,p1,p2\na,b,a,b,a,a\n1,1,1,1,0,0\n2,ann\np1,p1\na,b\n1,0\n"
    outcome = ingest_files(tmp_path, {"fold.csv": body})
    assert outcome.logs.layout == "sequences4"
    joe, ann = (KEY.mac(b"student\0" + n)[:16].hex() for n in (b"joe", b"ann"))
    found = list(zip(outcome.interactions["student"], outcome.interactions["item"], outcome.skills, strict=True))
    by_student = {
        joe: [("p1", ["a", "b"]), ("p1", ["a", "b"]), ("p1", ["a"]), ("p2", ["a"])],
        ann: [("p1", ["a"]), ("p1", ["b"])],
    }
    assert found == [(s, *row) for s in sorted(by_student) for row in by_student[s]]
    assert outcome.report["rows_merged"] == 2
    apart = ingest_files(tmp_path / "rows", {"a.csv": body}, IngestConfig(protocol="row_per_skill"))
    assert apart.logs.rows == 8


EXAM = """\
5\t11\tq1_1\t0.5
9\t11\tq1_1\t1
7\t11\tq2_3\t0
-3\t12\tq1_1\t1
8\t12\tq2_1\t1
4\t13\tq1_2\t0.25
6\t14\tq1_1\t1
8\t14\tq2_2\t1
"""


@pytest.mark.parametrize("header", ["", "curr_time\tid\tquestion\tscore\r\n"])
def test_exam_time_sets_corrupted_and_incomplete_students_apart(tmp_path: Path, header: str) -> None:
    body = header + (EXAM.replace("\n", "\r\n") if header else EXAM)
    outcome = ingest_files(tmp_path, {"final.tsv": body}, IngestConfig(quarantine_limit=0.5))
    assert outcome.logs.layout == "exam_time"
    assert outcome.faults == [
        (4, "curr_time", "student_with_negative_time"),
        (5, "curr_time", "student_with_negative_time"),
        (6, "question", "student_incomplete"),
    ]
    kept = sorted(rows(outcome, "row", "item", "score", "time_ms", "correct"))
    assert kept == [
        (1, "q1_1", 0.5, 5, None),
        (2, "q1_1", 1.0, 9, None),
        (3, "q2_3", 0.0, 7, None),
        (7, "q1_1", 1.0, 6, None),
        (8, "q2_2", 1.0, 8, None),
    ]
    assert sorted(x for [x] in outcome.skills) == ["q1", "q1", "q1", "q2", "q2"]


def test_item_rows_have_seconds_or_no_times_at_all(tmp_path: Path) -> None:
    body = "user_id\titem_id\ttimestamp\tcorrect\tskill_id\n5\t16\t{}\t1\t41\n5\t17\t{}\t0\t41\n"
    timed = ingest_files(tmp_path / "timed", {"a.csv": body.format(9, 3)})
    assert timed.logs.layout == "item_rows"
    assert rows(timed, "item", "time_ms") == [("17", 3000), ("16", 9000)]
    untimed = ingest_files(tmp_path / "untimed", {"a.csv": body.format(0, 0)})
    assert rows(untimed, "item", "time_ms") == [("16", None), ("17", None)]


def test_a_layout_can_be_named_and_a_wrong_name_lists_them(tmp_path: Path) -> None:
    body = "2\n1,2\n0,1\n"
    assert ingest_files(tmp_path, {"a.csv": body}, IngestConfig(layout="sequences3")).logs.rows == 2
    with pytest.raises(ConfigError, match="'sequence3' is no layout; known are auto, homeroom, assistments_raw"):
        ingest_files(tmp_path, {"a.csv": body}, IngestConfig(layout="sequence3"))
