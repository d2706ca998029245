"""What ingest publishes: the schema, pseudonyms, order, the same artifact from the same bytes in any format."""

import gzip
import hashlib
import hmac
import io
import json
from pathlib import Path

import polars as pl
import pytest

from components.artifacts import artifact_from_json
from components.schema import QUARANTINE_COLUMNS, Column
from components.writing.ingest.config import Rubric, WritingIngestConfig, WritingMapping
from components.writing.schema import RESPONSE_COLUMNS, WRITER_COLUMNS
from tests.components.writing.ingest.running import ANY, KEY, ingest_files

ROWS = [
    {
        "response": f"r{n}", "student": f"s{n % 3}", "prompt": "p2" if n % 2 else "p1",
        "text": f"Text {n}, with a comma",
        "score": str(n % 4), "rater_1": str(n % 4), "rater_2": str(n % 3), "trait_ideas": "" if n % 2 else "2",
        "split": ("train", "valid", "test")[n % 3], "group_g": "ab"[n % 3 == 0],
    }
    for n in range(6)
]  # fmt: skip
FRAME = pl.DataFrame(ROWS)


def csv_of(frame: pl.DataFrame, separator: str = ",") -> bytes:
    return frame.write_csv(separator=separator).encode()


def parquet_of(frame: pl.DataFrame) -> bytes:
    stream = io.BytesIO()
    frame.write_parquet(stream)
    return stream.getvalue()


def pseudonym(kind: str, name: str) -> str:
    return hmac.new(KEY.value, f"{kind}\0{name}".encode(), hashlib.sha256).hexdigest()[:32]


def check_columns(frame: pl.DataFrame, columns: tuple[Column, ...], extra: int) -> None:
    for column in columns:
        assert str(frame[column.name].dtype) == column.dtype
        assert column.nullable or frame[column.name].null_count() == 0, column.name
    assert frame.width == len(columns) + extra


def test_tables_have_the_schemas_columns(tmp_path: Path) -> None:
    outcome = ingest_files(tmp_path, {"a.csv": csv_of(FRAME)})
    check_columns(outcome.responses, RESPONSE_COLUMNS, extra=3)
    check_columns(outcome.students, WRITER_COLUMNS, extra=1)
    check_columns(outcome.quarantine, QUARANTINE_COLUMNS, extra=0)
    assert outcome.responses.columns == [
        "response", "student", "prompt", "text", "score", "rater_1", "rater_2", "trait_ideas", "declared_split",
        "file", "row",
    ]  # fmt: skip
    assert outcome.responses.equals(outcome.responses.sort("prompt", "response"))
    assert outcome.students["student"].is_sorted()


def test_every_row_keeps_what_the_source_says_of_it(tmp_path: Path) -> None:
    outcome = ingest_files(tmp_path, {"a.csv": csv_of(FRAME)})
    kept = outcome.by_row
    assert kept["row"].to_list() == [1, 2, 3, 4, 5, 6]
    assert kept["text"].to_list() == [row["text"] for row in ROWS]
    assert kept["score"].to_list() == [0, 1, 2, 3, 0, 1]
    assert kept["rater_2"].to_list() == [0, 1, 2, 0, 1, 2]
    assert kept["trait_ideas"].to_list() == [2, None, 2, None, 2, None]
    assert kept["declared_split"].to_list() == ["train", "valid", "test"] * 2
    assert kept["response"].to_list() == [pseudonym("response", f"r{n}") for n in range(6)]
    assert kept["student"].to_list() == [pseudonym("student", f"s{n % 3}") for n in range(6)]
    people = {row["student"]: (row["declared_split"], row["g"]) for row in outcome.students.to_dicts()}
    assert people == {
        pseudonym("student", "s0"): ("train", "b"),
        pseudonym("student", "s1"): ("valid", "a"),
        pseudonym("student", "s2"): ("test", "a"),
    }


def test_the_handle_says_what_is_in_it(tmp_path: Path) -> None:
    outcome = ingest_files(tmp_path, {"a.csv": csv_of(FRAME)})
    facts = outcome.writing.facts()
    assert facts == {
        "rows": 6, "students": 3, "prompts": 2, "raters": 2, "traits": ["ideas"], "quarantined": 0,
        "layout": "homeroom", "protocol": "scored_writing", "pseudonym_key_id": KEY.id, "groups": ["g"],
        "overrides": 0, "overrides_sha256": "",
    }  # fmt: skip
    assert artifact_from_json(json.loads(json.dumps(outcome.writing.to_json()))) == outcome.writing
    report = outcome.report
    assert report["rows_in"] == report["rows_kept"] == 6
    assert report["responses_declared"] == {"train": 2, "valid": 2, "test": 2, "none": 0}


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("a.tsv", csv_of(FRAME, "\t")),
        ("a.csv", csv_of(FRAME, ";")),
        ("a.csv", csv_of(FRAME).replace(b"\n", b"\r\n")),
        ("a.csv.gz", gzip.compress(csv_of(FRAME), mtime=0)),
        ("a.csv", csv_of(FRAME).decode().encode("utf-8-sig")),
        ("a.csv", csv_of(FRAME).decode().encode("utf-16")),
        ("a.jsonl", FRAME.write_ndjson().encode()),
        ("a.parquet", parquet_of(FRAME)),
        (
            "a.parquet",
            parquet_of(FRAME.with_columns(pl.col("score").cast(pl.Int64), pl.col("rater_1").cast(pl.Float32))),
        ),
        ("a.csv", csv_of(FRAME.select(reversed(FRAME.columns)))),
    ],
)
def test_the_same_rows_in_any_format_are_the_same_responses(tmp_path: Path, name: str, body: bytes) -> None:
    expected = ingest_files(tmp_path / "csv", {"a.csv": csv_of(FRAME)})
    outcome = ingest_files(tmp_path / "other", {name: body})
    assert outcome.responses.equals(expected.responses)
    assert outcome.students.equals(expected.students)
    assert outcome.prompts == expected.prompts


def test_a_second_run_makes_the_same_artifact_wherever_the_files_lie(tmp_path: Path) -> None:
    first = ingest_files(tmp_path / "a", {"x.csv": csv_of(FRAME)})
    second = ingest_files(tmp_path / "b", {"moved/y.csv": csv_of(FRAME)})
    assert first.writing.sha256 == second.writing.sha256


def test_ids_and_names_are_nowhere_in_what_is_published(tmp_path: Path) -> None:
    frame = FRAME.with_columns(
        ("kanari-" + pl.col("student")).alias("student"), ("kanari-" + pl.col("response")).alias("response")
    )
    outcome = ingest_files(tmp_path, {"a.csv": csv_of(frame)})
    for path in outcome.folder.rglob("*"):
        if path.suffix == ".parquet":
            assert "kanari" not in str(pl.read_parquet(path).to_dicts())
        elif path.is_file():
            assert b"kanari" not in path.read_bytes()
    assert "kanari" not in " ".join(outcome.said)


def test_without_ids_each_response_is_its_own_student(tmp_path: Path) -> None:
    body = "prompt,text,score\np,one text,1\np,one text,1\np,another,2\n"
    outcome = ingest_files(tmp_path, {"a.csv": body})
    kept = outcome.responses
    assert kept["response"].n_unique() == 3
    assert kept["student"].to_list() == kept["response"].to_list()
    assert outcome.students["student"].to_list() == sorted(kept["student"])
    digest = hashlib.sha256(body.encode()).hexdigest()
    assert outcome.by_row["response"][0] == pseudonym("response", f"{digest}:1")


def test_another_key_gives_other_pseudonyms_and_another_artifact(tmp_path: Path) -> None:
    from components.ingest.collect import collect
    from components.secrets import SecretKey
    from components.stage import Runner
    from components.store import Store
    from components.writing.ingest.stage import ingest

    first = ingest_files(tmp_path, {"a.csv": csv_of(FRAME)})
    store = Store(tmp_path / "store")
    other = Runner(store, pseudonym_key=SecretKey(b"another key, 32 bytes long......"))(
        ingest, collect(store, [str(tmp_path / "a.csv")]), WritingIngestConfig()
    )
    assert other.sha256 != first.writing.sha256
    theirs = pl.read_parquet(store.folder(other) / "responses.parquet")
    assert not set(theirs["student"]) & set(first.responses["student"])


def test_files_of_a_role_are_declared_for_it(tmp_path: Path) -> None:
    head = "response,prompt,text,score\n"
    outcome = ingest_files(
        tmp_path,
        {"train.csv": head + "1,p,one,1\n2,p,two,2\n"},
        test_files={"test.csv": "response,text,prompt,score\n3,three,p,1\n"},
        valid_files={"valid.csv": head + "4,p,four,2\n"},
    )
    declared = dict(outcome.responses.select("text", "declared_split").iter_rows())
    assert declared == {"one": None, "two": None, "three": "test", "four": "valid"}
    assert outcome.report["responses_declared"] == {"train": 0, "valid": 1, "test": 1, "none": 2}


def test_a_mapping_reads_somebody_elses_table(tmp_path: Path) -> None:
    body = (
        "Nr;Kind;Frage;Antwort;Punkte;Zweit;Stil;Teil;Schule\n"
        '1;Anna;F 1;"Weil; es regnet";2,5;2;1,5;0;Nord\n'
        "2;Anna;F 2;Sonne;1;;2;1;Nord\n"
        "3;Ben;F 1;Wind;0,5;1;;2;Süd\n"
    )
    mapping = WritingMapping(
        response="Nr", student="Kind", prompt="Frage", text="Antwort", score="Punkte", decimal_comma=True,
        raters=("Punkte", "Zweit"), traits={"style": "Stil"}, split="Teil", split_values={"0": "test", "1": "valid"},
        groups=("Schule",),
    )  # fmt: skip
    outcome = ingest_files(tmp_path, {"a.csv": body.encode()}, WritingIngestConfig(mapping=mapping))
    columns = ("prompt", "text", "score", "rater_1", "rater_2", "trait_style", "declared_split")
    assert outcome.by_row.select(columns).rows() == [
        ("F 1", "Weil; es regnet", 2.5, 2.5, 2.0, 1.5, "test"),
        ("F 2", "Sonne", 1.0, 1.0, None, 2.0, "valid"),
        ("F 1", "Wind", 0.5, 0.5, 1.0, None, "train"),
    ]
    assert outcome.writing.groups == ("Schule",)
    assert outcome.prompts["F 1"]["step"] == 0.5
    assert dict(outcome.students.select("Schule", "declared_split").iter_rows()) == {"Nord": None, "Süd": "train"}
    assert outcome.report["students_in_several_splits"] == 1


def test_writing_that_is_to_be_graded_needs_no_scores(tmp_path: Path) -> None:
    config = WritingIngestConfig(needs_scores=False)
    outcome = ingest_files(tmp_path, {"a.csv": "response,prompt,text\n1,p,one\n2,p,two\n"}, config)
    assert outcome.responses["score"].null_count() == 2
    assert outcome.prompts["p"]["range_from"] == "unknown"
    assert outcome.prompts["p"]["low"] is None
    assert outcome.report["responses_scored"] == 0


def test_a_prompt_with_five_essays_is_kept_and_warned_about(tmp_path: Path) -> None:
    rows = [f"{n},big,text {n},{n % 4}" for n in range(40)] + [f"{n},small,text {n},{n % 4}" for n in range(40, 45)]
    config = WritingIngestConfig(prompts={"*": Rubric(low=0, high=3), "other": Rubric(low=0, high=1)})
    outcome = ingest_files(tmp_path, {"a.csv": "response,prompt,text,score\n" + "\n".join(rows) + "\n"}, config)
    assert outcome.prompts["small"]["rows"] == 5
    assert [line for line in outcome.said if line.startswith("warning")] == [
        "warning: 1 prompt(s) have fewer than 30 scored responses; they were kept, and training decides about them",
        "warning: ingest.prompts names 1 prompt(s) that no response answers",
    ]


def test_limits_on_unusable_rows_stop_a_run_and_say_why(tmp_path: Path) -> None:
    from components.errors import QuarantineLimitError

    body = "response,prompt,text,score\n" + "".join(f"{n},p,text,{'x' if n < 3 else 1}\n" for n in range(20))
    with pytest.raises(
        QuarantineLimitError, match=r"3 of 20 rows \(15.0%\) are unusable; ingest.quarantine_limit"
    ) as told:
        ingest_files(tmp_path, {"a.csv": body})
    assert "score_not_a_number: 3 rows; expected a number of at most a million; set the mapping's decimal_comma" in str(
        told.value
    )
    assert ingest_files(tmp_path, {"a.csv": body}, ANY).report["rows_kept"] == 17
