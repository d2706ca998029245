"""The ingest stage: the published tables, formats of files, splits, order, and errors."""

import gzip
import io
from pathlib import Path

import polars as pl
import pytest

from components.errors import DigestMismatchError, QuarantineLimitError, SchemaError
from components.ingest.collect import collect
from components.ingest.config import ColumnMapping, IngestConfig
from components.ingest.stage import ingest
from components.schema import INTERACTION_COLUMNS, QUARANTINE_COLUMNS, SKILL_SET_COLUMNS, STUDENT_COLUMNS, Column
from components.secrets import SecretKey
from components.stage import Runner
from components.store import Store
from tests.components.ingest.running import KEY, ingest_files, ingest_uris

NATIVE = """\
student,item,skills,correct,time,response_time,attempt,group_home,group_age
bea,i2,add;mul,1,2000,1500,1,fr,
ann,i1,add,0,3000,900,1,en,12
ann,i1,add,1,1000,,2,en,12
bea,i3,,1,1000,10,1,fr,11
ann,i2,mul;add;mul,1,2000,5,1,,12
"""


def dtypes(columns: tuple[Column, ...]) -> dict[str, str]:
    return {c.name: c.dtype for c in columns}


def found(frame: pl.DataFrame) -> dict[str, str]:
    return {name: str(dtype) for name, dtype in frame.schema.items()}


def test_the_tables_are_those_of_the_schema(tmp_path: Path) -> None:
    outcome = ingest_files(tmp_path, {"a.csv": NATIVE})
    assert found(outcome.interactions) == dtypes(INTERACTION_COLUMNS)
    assert found(outcome.skill_sets) == dtypes(SKILL_SET_COLUMNS)
    assert found(outcome.quarantine) == dtypes(QUARANTINE_COLUMNS)
    assert found(outcome.students) == {**dtypes(STUDENT_COLUMNS), "age": "String", "home": "String"}
    for column in INTERACTION_COLUMNS:
        if not column.nullable:
            assert outcome.interactions[column.name].null_count() == 0
    assert outcome.interactions["student"].str.contains("^[0-9a-f]{32}$").all()


def test_rows_are_sorted_by_student_then_time(tmp_path: Path) -> None:
    outcome = ingest_files(tmp_path, {"a.csv": NATIVE})
    ann, bea = (KEY.mac(b"student\0" + n)[:16].hex() for n in (b"ann", b"bea"))
    by_student = {
        ann: [(0, "i1", 1, 1000, 3), (1, "i2", 1, 2000, 5), (2, "i1", 0, 3000, 2)],
        bea: [(0, "i3", 1, 1000, 4), (1, "i2", 1, 2000, 1)],
    }
    rows = outcome.interactions.select("student", "position", "item", "correct", "time_ms", "row").rows()
    assert rows == [(s, *row) for s in sorted(by_student) for row in by_student[s]]
    assert outcome.students["student"].to_list() == sorted(by_student)


def test_skill_sets_are_sorted_without_repeats_and_may_be_empty(tmp_path: Path) -> None:
    outcome = ingest_files(tmp_path, {"a.csv": NATIVE})
    assert outcome.skill_sets["skills"].to_list() == [[], ["add"], ["add", "mul"]]
    by_row = dict(zip(outcome.interactions["row"], outcome.skills, strict=True))
    assert by_row == {1: ["add", "mul"], 2: ["add"], 3: ["add"], 4: [], 5: ["add", "mul"]}


def test_the_handle_and_the_report_count_what_is_there(tmp_path: Path) -> None:
    outcome = ingest_files(tmp_path, {"a.csv": NATIVE})
    facts = outcome.logs.facts()
    assert facts == {
        "rows": 5,
        "students": 2,
        "items": 3,
        "skills": 2,
        "quarantined": 0,
        "layout": "homeroom",
        "protocol": "problem",
        "pseudonym_key_id": KEY.id,
        "groups": ["age", "home"],
    }
    report = outcome.report
    assert report["time"] == {"first_ms": 1000, "last_ms": 3000}
    assert (report["rows_in"], report["rows_kept"], report["rows_quarantined"], report["rows_merged"]) == (5, 5, 0, 0)
    assert report["files"][0]["sha256"] == outcome.raw.digests[0]
    assert outcome.logs.lineage.parents == (outcome.raw.sha256,)


def test_group_attributes_are_kept_once_and_conflicts_are_unknown(tmp_path: Path) -> None:
    body = NATIVE + "bea,i1,add,1,5000,1,1,de,11\n"
    outcome = ingest_files(tmp_path, {"a.csv": body})
    ann, bea = (KEY.mac(b"student\0" + n)[:16].hex() for n in (b"ann", b"bea"))
    rows = {r["student"]: (r["home"], r["age"]) for r in outcome.students.iter_rows(named=True)}
    assert rows == {ann: ("en", "12"), bea: (None, "11")}
    assert outcome.report["students_with_conflicting_groups"] == {"age": 0, "home": 1}


def parquet(frame: pl.DataFrame) -> bytes:
    stream = io.BytesIO()
    frame.write_parquet(stream)
    return stream.getvalue()


def native_frame() -> pl.DataFrame:
    return pl.read_csv(NATIVE.encode(), schema_overrides={"group_age": pl.String})


def as_lists(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(pl.col("skills").str.split(";"))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(NATIVE.replace("\n", "\r\n").encode(), id="CRLF"),
        pytest.param(b"\xef\xbb\xbf" + NATIVE.encode(), id="byte-order mark"),
        pytest.param(NATIVE.rstrip("\n").encode(), id="no line feed at the end"),
        pytest.param(NATIVE.replace(",", "\t").encode(), id="tabs"),
        pytest.param(NATIVE.replace(",", "|").encode(), id="bars"),
        pytest.param(NATIVE.encode("utf-16"), id="UTF-16"),
        pytest.param(gzip.compress(NATIVE.encode()), id="gzip"),
        pytest.param(gzip.compress(gzip.compress(NATIVE.encode())), id="gzip twice"),
        pytest.param(native_frame().write_csv(quote_style="always").encode(), id="all quoted"),
        pytest.param(parquet(native_frame()), id="Parquet"),
        pytest.param(parquet(as_lists(native_frame())), id="Parquet with lists"),
        pytest.param(gzip.compress(parquet(native_frame())), id="Parquet in gzip"),
        pytest.param(native_frame().write_ndjson().encode(), id="JSON lines"),
        pytest.param(as_lists(native_frame()).write_ndjson().encode(), id="JSON lines with lists"),
        pytest.param(
            parquet(native_frame().with_columns(pl.col("time").cast(pl.Datetime("ms")))), id="Parquet with timestamps"
        ),
        pytest.param(
            parquet(native_frame().with_columns(pl.col("correct").cast(pl.Boolean), pl.col("attempt").cast(float))),
            id="Parquet with booleans",
        ),
    ],
)
def test_formats_and_spellings_are_known_by_content_not_by_name(tmp_path: Path, body: bytes) -> None:
    plain = ingest_files(tmp_path / "plain", {"a.csv": NATIVE})
    other = ingest_files(tmp_path / "other", {"export.dat": body})
    assert other.interactions.equals(plain.interactions)
    assert other.students.equals(plain.students)
    assert other.skill_sets.equals(plain.skill_sets)


def test_parquet_columns_without_values_or_with_arrays_are_read(tmp_path: Path) -> None:
    frame = pl.DataFrame({"student": ["a", "b"], "item": ["x", "y"], "correct": [1, 0]}).with_columns(
        pl.lit(None).alias("time"),
        pl.lit(None).alias("score"),
        pl.Series("skills", [["q", "p"], ["p", None]], dtype=pl.Array(pl.String, 2)),
    )
    outcome = ingest_files(tmp_path, {"a.parquet": parquet(frame)})
    assert sorted(outcome.skills) == [["p"], ["p", "q"]]
    assert outcome.interactions["time_ms"].null_count() == 2


def test_rows_beyond_one_block_are_read_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quoted = "student,item,correct,time\n" + "".join(f'"s,{n % 3}",i{n % 7},{n % 2},{n}\n' for n in range(200))
    multi = quoted + '"s\n9",i1,1,500\n'
    whole = ingest_files(tmp_path / "whole", {"a.csv": multi})
    monkeypatch.setattr("components.ingest.lines.blocks.__defaults__", (64,))
    pieces = ingest_files(tmp_path / "pieces", {"a.csv": multi})
    assert whole.logs.rows == 201
    assert pieces.logs.sha256 == whole.logs.sha256


def test_the_same_files_give_the_same_bytes_wherever_they_are(tmp_path: Path) -> None:
    parts = {"a.csv": NATIVE, "b.csv": NATIVE.replace("ann", "cat").replace("bea", "dan")}
    one = ingest_files(tmp_path / "one", parts)
    two = ingest_files(tmp_path / "two", {f"sub/{9 - i}.csv": b for i, b in enumerate(parts.values())})
    assert one.logs.sha256 == two.logs.sha256


def test_students_of_test_files_are_declared(tmp_path: Path) -> None:
    held = NATIVE.replace("ann", "cat").replace("bea", "dan")
    outcome = ingest_files(tmp_path, {"a.csv": NATIVE}, test_files={"t.csv": held})
    cat, dan = (KEY.mac(b"student\0" + n)[:16].hex() for n in (b"cat", b"dan"))
    declared = dict(outcome.students.select("student", "declared_split").iter_rows())
    assert {s for s, split in declared.items() if split == "test"} == {cat, dan}
    assert {split for s, split in declared.items() if s not in {cat, dan}} == {None}
    assert outcome.report["students_in_test_files"] == 2


def test_a_student_in_both_kinds_of_file_is_held_out_whole(tmp_path: Path) -> None:
    held = NATIVE.replace("bea", "dan")
    config = IngestConfig(quarantine_limit=0.5)
    outcome = ingest_files(tmp_path, {"a.csv": NATIVE}, config, test_files={"t.csv": held})
    assert outcome.faults == [(row, None, "student_also_in_test_file") for row in (2, 3, 5)]
    assert outcome.logs.students == 3


def test_a_student_in_two_files_without_times_has_no_order(tmp_path: Path) -> None:
    body = "student,item,correct\nann,i{},1\n"
    with pytest.raises(SchemaError, match=r"1 students have answers in several files.*Map such a column"):
        ingest_files(tmp_path, {"a.csv": body.format(1), "b.csv": body.format(2)})


def test_source_order_stands_in_for_time(tmp_path: Path) -> None:
    outcome = ingest_files(
        tmp_path, {"a.csv": "student,item,correct\n" + "".join(f"ann,i{n},1\n" for n in (5, 3, 9, 1))}
    )
    assert outcome.interactions["item"].to_list() == ["i5", "i3", "i9", "i1"]
    assert outcome.interactions["time_ms"].null_count() == 4
    assert outcome.report["time"] is None


def test_a_file_that_changed_since_it_was_collected_is_refused(tmp_path: Path) -> None:
    store, path = Store(tmp_path / "store"), tmp_path / "a.csv"
    path.write_text(NATIVE)
    raw = collect(store, [str(path)])
    path.write_text(NATIVE + "x,i1,,1,1,1,1,,\n")
    with pytest.raises(DigestMismatchError, match=r"a\.csv has digest .* the file changed since. Collect again"):
        Runner(store, pseudonym_key=KEY)(ingest, raw, IngestConfig())


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (gzip.compress(NATIVE.encode() * 50)[:-20], "ends in the middle of its gzip stream.*sent again"),
        (gzip.compress(NATIVE.encode())[:-8] + b"\0" * 8, "damaged gzip stream"),
        (parquet(native_frame())[:-30], "starts like Parquet but cannot be read"),
        (b"PK\x03\x04 sheet", "zip archive or a spreadsheet"),
        (b'[{"student": 1}]', "one JSON array"),
        (b" \n\n", "nothing but blanks"),
        (b"\x00\x01\x02", "is mostly zero bytes and no text"),
        (b"\xff\xfe\x00\xd8\x00\xd8", "mark of UTF-16"),
        (b"student,item,correct\n", "hold no rows below their headers"),
        (b"student,item,correct,item\na,1,1,1\n", "has the column.s. item twice"),
    ],
)
def test_files_that_cannot_be_read_say_so(tmp_path: Path, body: bytes, said: str) -> None:
    with pytest.raises(SchemaError, match=said):
        ingest_files(tmp_path, {"a.csv": body})


def test_an_unknown_layout_names_the_columns_and_how_to_map_them(tmp_path: Path) -> None:
    with pytest.raises(SchemaError) as caught:
        ingest_files(tmp_path, {"a.csv": "Student ID,Question,Is Correct\n7,q1,1\n"})
    text = str(caught.value)
    assert "a.csv: columns Student ID, Question, Is Correct" in text
    assert "[ingest.mapping]" in text
    assert 'student = "Student ID"' in text


def test_files_in_different_layouts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="2 layouts; expected one:") as caught:
        ingest_files(tmp_path, {"a.csv": NATIVE, "b.csv": "2\n1,2\n0,1\n"})
    assert "a.csv: homeroom" in str(caught.value)
    assert "b.csv: sequences3" in str(caught.value)


def test_above_the_limit_the_run_stops_with_all_reasons(tmp_path: Path) -> None:
    rows = [f"s{n},i1,1" for n in range(90)] + ["s1,i1,2"] * 6 + [",i1,1"] * 4
    body = "student,item,correct\n" + "\n".join(rows) + "\n"
    with pytest.raises(QuarantineLimitError) as caught:
        ingest_files(tmp_path, {"a.csv": body})
    text = str(caught.value)
    assert "10 of 100 rows (10.0%) are unusable; ingest.quarantine_limit allows 5.0%" in text
    assert "correct_not_0_or_1: 6 rows" in text
    assert "student_missing: 4 rows" in text
    at_limit = ingest_files(tmp_path / "more", {"a.csv": body}, IngestConfig(quarantine_limit=0.1))
    assert (at_limit.logs.rows, at_limit.logs.quarantined) == (90, 10)


def test_the_key_of_the_pseudonyms_is_part_of_the_stages_key(tmp_path: Path) -> None:
    store, path = Store(tmp_path / "store"), tmp_path / "a.csv"
    path.write_text(NATIVE)
    raw = collect(store, [str(path)])
    events: list[str] = []
    config = IngestConfig()
    for key in (KEY, KEY, SecretKey(b"another key of 32 bytes, or more")):
        Runner(store, pseudonym_key=key, observe=lambda e: events.append(e.status))(ingest, raw, config)
    assert events == ["started", "finished", "skipped", "started", "finished"]


def test_a_districts_own_table_is_read_by_its_mapping(tmp_path: Path) -> None:
    body = (
        "Student ID;Question;Standards;Is Correct;Submitted;Seconds;Try;Gender\r\n"
        '0012;"Q1; part a";3.NF.1, 3.NF.2;TRUE;09/30/2025 14:05;12.5;1;F\r\n'
        "0012;Q2;;FALSE;09/30/2025 14:01;3;2;F\r\n"
        " 77 ;Q1;3.NF.1;true;10/01/2025 08:00;;1;M\r\n"
    )
    mapping = ColumnMapping(
        student="Student ID",
        item="Question",
        skills="Standards",
        skill_separator=",",
        correct="Is Correct",
        time="Submitted",
        time_unit="%m/%d/%Y %H:%M",
        response_time="Seconds",
        response_time_unit="s",
        attempt="Try",
        groups=("Gender",),
    )
    outcome = ingest_files(tmp_path, {"export.csv": body}, IngestConfig(mapping=mapping))
    assert outcome.logs.layout == "mapped"
    student = KEY.mac(b"student\x000012")[:16].hex()
    rows = outcome.interactions.filter(pl.col("student") == student)
    assert rows.select("item", "correct", "time_ms", "response_ms", "attempt", "row").rows() == [
        ("Q2", 0, 1_759_240_860_000, 3000, 2, 2),
        ("Q1; part a", 1, 1_759_241_100_000, 12_500, 1, 1),
    ]
    assert sorted(map(tuple, outcome.skills)) == [(), ("3.NF.1",), ("3.NF.1", "3.NF.2")]
    assert sorted(outcome.students["Gender"].to_list()) == ["F", "M"]


def test_a_mapping_to_a_column_that_is_not_there_names_it(tmp_path: Path) -> None:
    mapping = ColumnMapping(student="student", item="question", correct="right")
    with pytest.raises(SchemaError, match=r"a\.csv lacks the column\(s\) question, right\. Correct the mapping"):
        ingest_files(tmp_path, {"a.csv": NATIVE}, IngestConfig(mapping=mapping))


def test_mapped_rows_that_share_the_order_are_one_answer(tmp_path: Path) -> None:
    body = "who,problem,kc,right,n\na,p1,x,1,10\na,p1,y,1,10\na,p2,x,0,5\nb,p1,x,1,10\nb,p1,y,0,10\n"
    mapping = ColumnMapping(student="who", item="problem", skills="kc", correct="right", order="n")
    config = IngestConfig(mapping=mapping, quarantine_limit=0.5)
    outcome = ingest_files(tmp_path, {"a.csv": body}, config)
    assert outcome.interactions.select("item", "correct", "row").rows() == [("p2", 0, 3), ("p1", 1, 1)]
    assert outcome.skills == [["x"], ["x", "y"]]
    assert outcome.faults == [(4, None, "rows_of_one_answer_disagree"), (5, None, "rows_of_one_answer_disagree")]
    assert outcome.report["rows_merged"] == 1
    plain = ingest_files(tmp_path / "rows", {"a.csv": body}, IngestConfig(mapping=mapping, protocol="row_per_skill"))
    assert plain.logs.rows == 5


def test_a_folder_of_parts_is_one_source(tmp_path: Path) -> None:
    for n in range(3):
        path = tmp_path / "logs" / f"part-{n}.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"student,item,correct,time\nann,i{n},1,{1000 - n}\n")
    outcome = ingest_uris(tmp_path, [str(tmp_path / "logs")])
    assert outcome.interactions["item"].to_list() == ["i2", "i1", "i0"]
    files = [Path(outcome.raw.uris[f]).name for f in outcome.interactions["file"]]
    assert files == ["part-2.csv", "part-1.csv", "part-0.csv"]
