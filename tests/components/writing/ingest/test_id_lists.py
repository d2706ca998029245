"""Lists of ids: published folds say what each response is for, and ids that no response has stop the run."""

from pathlib import Path

import pytest

from components.errors import SchemaError
from components.writing.ingest.config import WritingIngestConfig, WritingMapping
from tests.components.writing.ingest.running import ANY, Outcome, ingest_files

HEAD = "response,prompt,text,score\n"
BODY = HEAD + "".join(f"{n},p,text {n},{n % 2}\n" for n in range(1, 7))


def splits(outcome: Outcome) -> dict[str, str | None]:
    return dict(outcome.responses.select("text", "declared_split").sort("text").iter_rows())


def test_lists_of_ids_declare_what_responses_are_for(tmp_path: Path) -> None:
    outcome = ingest_files(
        tmp_path,
        {"a.csv": BODY, "train.txt": "1\n2\r\n\n2\n"},
        test_files={"test.txt": "response\n3\n4"},
        valid_files={"dev.txt": "5\n"},
    )
    assert splits(outcome) == {
        "text 1": "train", "text 2": "train", "text 3": "test", "text 4": "test", "text 5": "valid", "text 6": None,
    }  # fmt: skip
    assert sorted(file["format"] for file in outcome.report["files"]) == ["ids", "ids", "ids", "text"]
    assert outcome.report["rows_in"] == 6
    assert outcome.writing.layout == "homeroom"


def test_lists_go_with_a_mapping(tmp_path: Path) -> None:
    mapping = WritingMapping(response="Nr", text="Text", score="Note")
    config = WritingIngestConfig(mapping=mapping)
    outcome = ingest_files(
        tmp_path, {"a.csv": "Nr,Text,Note\nA-1,eins,1\nA-2,zwei,2\n"}, config, test_files={"t.txt": "Nr\nA-2\n"}
    )
    assert splits(outcome) == {"eins": None, "zwei": "test"}


def test_a_table_of_texts_alone_is_no_list(tmp_path: Path) -> None:
    config = WritingIngestConfig(mapping=WritingMapping(text="Antwort"), needs_scores=False)
    assert ingest_files(tmp_path, {"a.csv": "Antwort\nSonne\nRegen\n"}, config).texts == ["Sonne", "Regen"]


def test_ids_that_no_response_has_are_an_error_with_a_count(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="3 of 5 ids in the lists belong to no response in the data") as caught:
        ingest_files(tmp_path, {"a.csv": BODY}, test_files={"t.txt": "1\n2\nkanari7\nkanari8\nkanari9\n"})
    assert "kanari" not in str(caught.value)


def test_ids_of_responses_in_quarantine_are_known(tmp_path: Path) -> None:
    body = BODY + "7,p,text 7,good\n" + '8,p,an "odd quote,1\n'
    outcome = ingest_files(tmp_path, {"a.csv": body}, ANY, test_files={"t.txt": "6\n7\n8\n"})
    assert splits(outcome)["text 6"] == "test"
    with pytest.raises(SchemaError, match="2 of 4 ids"):
        ingest_files(tmp_path / "b", {"a.csv": body}, ANY, test_files={"t.txt": "6\n7\n8\n9\n"})


def test_an_id_in_lists_of_two_splits_is_an_error_with_a_count(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="2 ids stand in lists of different splits"):
        ingest_files(tmp_path, {"a.csv": BODY}, test_files={"t.txt": "1\n2\n3\n"}, valid_files={"v.txt": "2\n3\n4\n"})


def test_splits_said_in_two_ways_are_an_error(tmp_path: Path) -> None:
    body = "response,prompt,text,score,split\n1,p,a,1,test\n2,p,b,1,\n"
    with pytest.raises(SchemaError, match="and lists of ids say it too; expected one of the two"):
        ingest_files(tmp_path, {"a.csv": body}, test_files={"t.txt": "1\n"})


def test_a_list_in_another_encoding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"v.txt begins like a list of ids, but is no UTF-8"):
        ingest_files(tmp_path, {"a.csv": BODY}, valid_files={"v.txt": b"1\n2\n\xff\n"})
