"""Files named for validation and for testing: their students are those splits, and nobody is in two."""

from pathlib import Path

from components.ingest.config import IngestConfig
from tests.components.ingest.running import KEY, ingest_files

HEADER = "student,item,correct,time\n"


def file(*students: str) -> str:
    return HEADER + "".join(f"{s},i{n},{n % 2},{n}\n" for s in students for n in range(2))


def test_students_of_validation_files_are_declared(tmp_path: Path) -> None:
    outcome = ingest_files(
        tmp_path, {"a.csv": file("ann")}, test_files={"t.csv": file("bea")}, valid_files={"v.csv": file("cat")}
    )
    names = {KEY.mac(b"student\0" + n.encode())[:16].hex(): n for n in ("ann", "bea", "cat")}
    declared = {names[s]: split for s, split in outcome.students.select("student", "declared_split").iter_rows()}
    assert declared == {"ann": None, "bea": "test", "cat": "valid"}
    assert outcome.report["students_in_valid_files"] == 1
    assert sorted(f["role"] for f in outcome.report["files"]) == ["any", "test", "valid"]


def test_testing_comes_before_validation_and_both_before_training(tmp_path: Path) -> None:
    outcome = ingest_files(
        tmp_path,
        {"a.csv": file("ann", "bea", "cat")},
        IngestConfig(quarantine_limit=0.9),
        test_files={"t.csv": file("bea")},
        valid_files={"v.csv": file("bea", "cat")},
    )
    assert outcome.report["reasons"] == {"student_also_in_test_file": 4, "student_also_in_valid_file": 2}
    assert outcome.logs.students == 3
    assert outcome.logs.rows == 2 + 2 + 2
