"""Erased students: every later ingest leaves them out and counts their rows, and no earlier result is used again."""

import json
from pathlib import Path

import polars as pl
import pytest

from components.errors import QuarantineLimitError, SchemaError
from components.ingest.config import IngestConfig
from components.ingest.stage import ingest
from components.pseudonyms import pseudonyms
from components.secrets import SecretKey
from components.stage import Runner
from components.store import Store
from components.tombstones import name_of, path_of, read_tombstones
from tests.components.ingest.running import KEY, Outcome, ingest_files
from tests.components.ingest.test_stage import NATIVE

ANN, BEA = pseudonyms(KEY, ["ann", "bea"])


def erase(folder: Path, pseudonym: str, key: SecretKey = KEY) -> None:
    Store(folder / "store").write_record(path_of(key.id, name_of(pseudonym)), {"format": 1})


def test_the_rows_of_an_erased_student_are_left_out_and_counted(tmp_path: Path) -> None:
    before = ingest_files(tmp_path, {"a.csv": NATIVE})
    assert (before.logs.students, before.report["rows_erased"]) == (2, 0)
    erase(tmp_path, ANN)
    after = ingest_files(tmp_path, {"a.csv": NATIVE})
    assert after.raw.sha256 == before.raw.sha256, "the same files"
    assert after.logs.sha256 != before.logs.sha256, "and no result from before"
    assert after.students["student"].to_list() == [BEA]
    of_bea = before.interactions.filter(pl.col("student") == BEA)
    assert after.interactions.drop("skill_set").equals(of_bea.drop("skill_set"))
    report = after.report
    assert (report["rows_in"], report["rows_kept"], report["rows_erased"]) == (5, 2, 3)
    assert (report["rows_quarantined"], report["rows_merged"]) == (0, 0)
    assert report["files"][0]["rows_erased"] == 3
    assert "3 rows of erased students left out" in after.said
    assert ANN not in (after.folder / "report.json").read_text()


def test_rows_left_out_are_no_losses_and_none_of_theirs_stands_in_quarantine(tmp_path: Path) -> None:
    rows = ["student,item,correct,time", *(f"ann,i{n},1,{n}" for n in range(9)), "bea,i1,1,1", "bea,i2,7,2"]
    files = {"a.csv": "\n".join([*rows, rows[1], ""])}  # one of ann's is there twice
    ingest_files(tmp_path, files, IngestConfig(quarantine_limit=0.1))
    erase(tmp_path, ANN)
    with pytest.raises(QuarantineLimitError, match=r"^1 of 2 rows"):
        ingest_files(tmp_path, files, IngestConfig(quarantine_limit=0.1))
    found = ingest_files(tmp_path, files, IngestConfig(quarantine_limit=0.5))
    assert found.faults == [(11, "correct", "correct_not_0_or_1")]
    assert (found.report["rows_erased"], found.report["rows_duplicate"]) == (10, 0)
    erase(tmp_path, BEA)
    with pytest.raises(SchemaError, match=r"None of the 12 rows is usable"):
        ingest_files(tmp_path, files, IngestConfig(quarantine_limit=1.0))


def test_a_tombstone_of_another_key_cannot_be_applied_and_is_told(tmp_path: Path) -> None:
    other = SecretKey(bytes(range(1, 33)))
    erase(tmp_path, pseudonyms(other, ["ann"])[0], other)
    found = ingest_files(tmp_path, {"a.csv": NATIVE})
    assert found.logs.students == 2
    assert any("1 tombstone(s) of erased students were made with another pseudonym key" in line for line in found.said)


def test_explain_says_that_students_were_erased(tmp_path: Path) -> None:
    found = ingest_files(tmp_path, {"a.csv": NATIVE})
    run = Runner(Store(tmp_path / "store"), pseudonym_key=KEY)
    assert run.explain(ingest, found.raw, IngestConfig()) == ["nothing: the result is there"]
    erase(tmp_path, ANN)
    assert run.explain(ingest, found.raw, IngestConfig()) == ["students were erased since"]


def test_a_name_of_a_tombstone_gives_no_pseudonym_and_differs_by_kind(tmp_path: Path) -> None:
    erase(tmp_path, ANN)
    found = read_tombstones(Store(tmp_path / "store"))
    assert ANN not in json.dumps({key: sorted(names) for key, names in found.of_key.items()})
    assert found.erased(KEY.id, [ANN, BEA]) == {ANN}
    assert found.erased(KEY.id, [ANN, BEA], "response") == frozenset()
    assert found.erased("0" * 16, [ANN]) == frozenset()


def test_no_other_count_changes_where_nobody_was_erased(tmp_path: Path) -> None:
    """Of another student of the same store: the figures stay what they are."""
    plain: Outcome = ingest_files(tmp_path / "one", {"a.csv": NATIVE})
    erase(tmp_path / "two", pseudonyms(KEY, ["nobody"])[0])
    other = ingest_files(tmp_path / "two", {"a.csv": NATIVE})
    assert other.logs.sha256 == plain.logs.sha256
