"""Bad input: every kind is read as it is and counted, set apart with a reason, or refused with a sentence of ours."""

import io
import json
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pytest

from components.errors import PipelineError, QuarantineLimitError, SchemaError
from components.writing.ingest.config import Rubric, TraitRange, WritingIngestConfig, WritingMapping
from tests.components.writing.ingest.running import ANY, ingest_files

HEAD = "response,student,prompt,text,score,rater_1,trait_t,split\n"
GOOD = {
    "response": "r1", "student": "s1", "prompt": "p", "text": "An answer.", "score": "1", "rater_1": "1",
    "trait_t": "1", "split": "train",
}  # fmt: skip


def line_of(cells: Mapping[str, str]) -> str:
    return ",".join({**GOOD, **cells}.values()) + "\n"


@pytest.mark.parametrize(
    ("cells", "column", "reason"),
    [
        ({"response": ""}, "response", "response_missing"),
        ({"response": "x" * 1001}, "response", "name_too_long"),
        ({"response": "a\ufffdb"}, "response", "character_lost"),
        ({"student": " "}, "student", "student_missing"),
        ({"student": "M\ufffdller"}, "student", "character_lost"),
        ({"prompt": ""}, "prompt", "prompt_missing"),
        ({"prompt": "x" * 1001}, "prompt", "name_too_long"),
        ({"text": ""}, "text", "text_missing"),
        ({"text": " \t \u3000"}, "text", "text_missing"),
        ({"text": "\0\0"}, "text", "text_missing"),
        ({"text": "x" * 50_001}, "text", "text_over_the_limit"),
        ({"score": ""}, "score", "score_missing"),
        ({"score": "good"}, "score", "score_not_a_number"),
        ({"score": "nan"}, "score", "score_not_a_number"),
        ({"score": "inf"}, "score", "score_not_a_number"),
        ({"score": "1;5"}, "score", "score_not_a_number"),
        ({"score": "-1"}, "score", "score_outside_rubric"),
        ({"score": "4"}, "score", "score_outside_rubric"),
        ({"score": "1e300"}, "score", "score_not_a_number"),
        ({"rater_1": "2000000"}, "rater_1", "rater_score_not_a_number"),
        ({"score": "1.5"}, "score", "score_between_points"),
        ({"rater_1": "high"}, "rater_1", "rater_score_not_a_number"),
        ({"trait_t": "?"}, "trait_t", "trait_not_a_number"),
        ({"trait_t": "9"}, "trait_t", "trait_outside_rubric"),
        ({"split": "holdout"}, "split", "split_unknown"),
    ],
)
def test_each_fault_has_its_column_and_reason(tmp_path: Path, cells: dict[str, str], column: str, reason: str) -> None:
    body = HEAD + line_of({}) + line_of({"response": "r2", **cells}) + line_of({"response": "r3"})
    rubric = Rubric(low=0, high=3, traits={"t": TraitRange(low=0, high=3)})
    config = WritingIngestConfig(quarantine_limit=0.5, prompts={"p": rubric})
    outcome = ingest_files(tmp_path, {"a.csv": body}, config)
    assert outcome.faults == [(2, column, reason)]
    assert outcome.by_row["row"].to_list() == [1, 3]


def table(*texts: str) -> str:
    """Return JSON lines, which carry any text."""
    rows = ({"response": n, "prompt": "p", "text": text, "score": n % 2} for n, text in enumerate(texts))
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("<p>My <b>essay</b></p>", "with_html"),
        ("Tom &amp; Anna &#8212; friends", "with_html"),
        ("itâ€™s a dayâ€¦", "with_mojibake"),
        ("cafÃ© und BrÃ¼che", "with_mojibake"),
        ("what\ufffds that", "with_lost_characters"),
        ("המורה אמרה שלום", "with_right_to_left"),
        ("قال المعلم", "with_right_to_left"),
        ("abc \u202edef", "with_direction_marks"),
        ("I like it \U0001f600\U0001f469\u200d\U0001f680", "with_emoji"),
        ("bell \x07 rings", "with_control_characters"),
    ],
)
def test_odd_texts_are_kept_as_written_and_counted(tmp_path: Path, text: str, kind: str) -> None:
    outcome = ingest_files(tmp_path, {"a.jsonl": table("plain, with 3 < 4 and 5 > 2 & such", text)}, ANY)
    assert outcome.texts == ["plain, with 3 < 4 and 5 > 2 & such", text]
    counted = outcome.report["texts"]
    assert {name for name, count in counted.items() if count} == {kind}
    assert counted[kind] == 1


def test_texts_are_in_one_spelling_with_feeds_for_line_ends_and_without_nul(tmp_path: Path) -> None:
    texts = ["e\u0301 one\r\ntwo\rthree", "a\0b", "  kept  ", "[1, 2]", "tab\tand\u2028separator"]
    outcome = ingest_files(tmp_path, {"a.jsonl": table(*texts)}, ANY)
    assert outcome.texts == ["é one\ntwo\nthree", "ab", "  kept  ", "[1, 2]", "tab\tand\u2028separator"]
    assert outcome.report["texts"]["with_null_bytes"] == 1


def test_null_bytes_in_a_table_are_left_out_of_texts(tmp_path: Path) -> None:
    outcome = ingest_files(tmp_path, {"a.csv": HEAD + line_of({"text": "nu\0ll"})}, ANY)
    assert outcome.texts == ["null"]


def test_essays_over_many_lines_are_one_row_each(tmp_path: Path) -> None:
    essay = "\n\n".join(f'Paragraph {n}, with a "quote".' for n in range(200))
    frame = pl.DataFrame({"response": ["1", "2"], "prompt": ["p", "p"], "text": [essay, "short"], "score": ["1", "2"]})
    outcome = ingest_files(tmp_path, {"a.csv": frame.write_csv()})
    assert outcome.texts == [essay, "short"]


def test_a_stray_quote_spoils_one_row_and_not_the_essays_around_it(tmp_path: Path) -> None:
    rows = [f'{n},p,"Line one, of essay {n}\n\nand line three",{n % 3}' for n in range(10)]
    rows.insert(4, '99,p,an "odd quote,1')
    rows.insert(8, '98,p,"never closed,2')
    body = "response,prompt,text,score\n" + "\n".join(rows) + "\n"
    outcome = ingest_files(tmp_path, {"a.csv": body}, ANY)
    assert [reason for _, _, reason in outcome.faults] == ["quotes_do_not_pair"] * 2
    assert outcome.texts == [f"Line one, of essay {n}\n\nand line three" for n in range(10)]
    assert outcome.report["rows_in"] == 12


def test_tabs_without_quoting_are_known_from_quotes_that_cannot_be_a_cells(tmp_path: Path) -> None:
    texts = ['"Dear editor, he said "no" and left', 'A 5" screen', "plain", '"whole"']
    body = "response\tprompt\ttext\tscore\n" + "".join(f"{n}\tp\t{t}\t{n % 2}\n" for n, t in enumerate(texts))
    assert ingest_files(tmp_path, {"a.tsv": body}).texts == texts
    quoted = 'response\tprompt\ttext\tscore\n1\tp\t"A ""fine""\ttext"\t1\n2\tp\tplain\t0\n'
    assert ingest_files(tmp_path, {"b.tsv": quoted}).texts == ['A "fine"\ttext', "plain"]
    assert ingest_files(tmp_path, {"c.tsv": body}, WritingIngestConfig(quoting="none")).texts == texts
    with pytest.raises(QuarantineLimitError, match="quotes_do_not_pair: 2 rows"):
        ingest_files(tmp_path, {"d.tsv": body}, WritingIngestConfig(quoting="standard"))


def test_lines_in_another_encoding_are_read_and_counted(tmp_path: Path) -> None:
    body = HEAD.encode() + line_of({"text": "naïve “quote”"}).encode()
    body += line_of({"response": "r2", "text": "naïve “quote”"}).encode("cp1252")
    outcome = ingest_files(tmp_path, {"a.csv": body})
    assert outcome.texts == ["naïve “quote”"] * 2
    assert outcome.report["texts"]["lines_in_fallback_encoding"] == 1
    strict = WritingIngestConfig(fallback="none", quarantine_limit=0.5)
    assert ingest_files(tmp_path / "strict", {"a.csv": body}, strict).faults == [(2, None, "not_utf8")]
    whole = HEAD.encode("cp1252") + line_of({"text": "naïve “quote”"}).encode("cp1252")
    config = WritingIngestConfig(encoding="cp1252")
    assert ingest_files(tmp_path / "whole", {"a.csv": whole}, config).texts == ["naïve “quote”"]


def test_the_same_text_twice_is_kept_and_counted(tmp_path: Path) -> None:
    outcome = ingest_files(tmp_path, {"a.jsonl": table("same", "same", "same", "other")})
    assert len(outcome.texts) == 4
    assert outcome.report["texts"]["repeated"] == 2


def test_the_same_row_twice_is_set_apart_and_no_loss(tmp_path: Path) -> None:
    body = HEAD + line_of({}) * 3 + line_of({"response": "r2"})
    outcome = ingest_files(tmp_path, {"a.csv": body})
    assert outcome.faults == [(2, None, "duplicate_row"), (3, None, "duplicate_row")]
    assert outcome.report["rows_duplicate"] == 2


@pytest.mark.parametrize("other", [{"text": "Another."}, {"score": "2"}, {"prompt": "q"}, {"student": "s2"}])
def test_the_same_id_for_different_responses_is_set_apart_whole(tmp_path: Path, other: dict[str, str]) -> None:
    body = HEAD + line_of({}) + line_of(other) + line_of({"response": "r2"})
    outcome = ingest_files(tmp_path, {"a.csv": body}, ANY)
    assert outcome.faults == [(1, None, "rows_of_one_response_disagree"), (2, None, "rows_of_one_response_disagree")]


def test_a_response_in_a_test_file_counts_there_alone(tmp_path: Path) -> None:
    head = "response,prompt,text,score\n"
    outcome = ingest_files(
        tmp_path,
        {"a.csv": head + "1,p,one,1\n2,p,two,0\n"},
        ANY,
        test_files={"b.csv": head + "2,p,two,0\n3,p,three,1\n"},
        valid_files={"c.csv": head + "3,p,three,1\n4,p,four,1\n"},
    )
    assert sorted(outcome.quarantine["reason"]) == ["response_also_in_test_file"] * 2
    assert dict(outcome.responses.select("text", "declared_split").iter_rows()) == {
        "one": None, "two": "test", "three": "test", "four": "valid",
    }  # fmt: skip


def test_a_split_that_differs_from_the_files_role_is_set_apart(tmp_path: Path) -> None:
    outcome = ingest_files(
        tmp_path, {"a.csv": HEAD + line_of({})}, ANY, test_files={"b.csv": HEAD + line_of({"response": "r2"})}
    )
    assert outcome.faults == [(1, "split", "split_differs_from_file")]


@pytest.mark.parametrize(
    ("name", "body", "said"),
    [
        ("a.csv", HEAD, "hold no rows below their headers"),
        ("a.csv", "name,essay\nx,y\n", r"1 of 1 files are in no layout known here .*\n.*columns name, essay"),
        ("a.csv", b"\xff\xfe\0\0" + "text,prompt\n".encode("utf-32-le") * 9, "looks like text in UTF-32"),
        ("a.csv", b"abcd\0" * 20, "mostly zero bytes"),
        ("a.xlsx", b"PK\x03\x04 rest", "zip archive or a spreadsheet"),
        ("a.json", "[1]", "one JSON array"),
        ("a.csv.gz", b"\x1f\x8b\x08cut", "gzip stream"),
        ("a.parquet", b"PAR1 cut short", "cannot be read"),
        ("a.csv", "response,prompt,text,score\n1,p,,1\n", "None of the 1 rows is usable|are unusable"),
        ("a.csv", "text,prompt,score,text\na,p,1,b\n", r"has the column\(s\) text twice"),
        ("a.csv", "text,prompt,rater,score\na,p,x,1\n", "no columns response and score"),
        ("a.csv", "text,prompt,rater,rater_1\na,p,x,1\n", "expected one of the two"),
        ("a.csv", "text,prompt,rater_1,rater_3\na,p,1,1\n", "without a gap"),
        ("a.csv", "text,prompt,score,group_student\na,p,1,1\n", "a name that students.parquet needs"),
        ("a.txt", "17\n18\n", "lists of ids at most"),
    ],
)
def test_files_that_cannot_be_used_are_refused_with_a_remedy(tmp_path: Path, name: str, body: str, said: str) -> None:
    with pytest.raises(PipelineError, match=said):
        ingest_files(tmp_path, {name: body})


def test_files_of_two_layouts_are_refused(tmp_path: Path) -> None:
    files = {"a.csv": "prompt,text,score\np,x,1\n", "b.csv": "Id,EssaySet,Score1,EssayText\n1,1,1,x\n"}
    with pytest.raises(SchemaError, match=r"in 2 layouts; expected one:\n.*: (homeroom|asap_sas)\n.*: "):
        ingest_files(tmp_path, files)


def test_a_mapping_to_columns_that_are_not_there_names_them(tmp_path: Path) -> None:
    config = WritingIngestConfig(mapping=WritingMapping(text="essay", score="mark"))
    with pytest.raises(SchemaError, match=r"a.csv lacks the column\(s\) mark"):
        ingest_files(tmp_path, {"a.csv": "essay,grade\nx,1\n"}, config)


def test_essays_in_the_place_of_columns_are_not_shown(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match=r"3 column\(s\) and a first line that does not look like") as caught:
        ingest_files(tmp_path, {"a.csv": "anna,I love my dog Kanari,3\nbert,I love my cat Kanari,4\n"})
    assert "Kanari" not in str(caught.value)
    assert "anna" not in str(caught.value)


def test_prompts_and_groups_that_are_ids_of_students_are_refused(tmp_path: Path) -> None:
    rows = "".join(f"s{n},s{n},text {n},{n % 3},g{n % 2}\n" for n in range(60))
    with pytest.raises(
        SchemaError, match=r"prompt: 60 of its 60 values are ids of students.*map\s+another column"
    ) as caught:
        ingest_files(tmp_path, {"a.csv": "student,prompt,text,score,group_g\n" + rows})
    assert "as prompts and groups are published as they stand" in str(caught.value)
    rows = "".join(f"s{n},p,text {n},{n % 3},Name {n}\n" for n in range(60))
    with pytest.raises(SchemaError, match="group_g: 60 different values for 60 students identify people"):
        ingest_files(tmp_path / "b", {"a.csv": "student,prompt,text,score,group_g\n" + rows})


def test_numbers_of_prompts_are_no_ids_of_students(tmp_path: Path) -> None:
    rows = "".join(f"{n},{n % 8},text {n},{n % 3}\n" for n in range(100))
    assert ingest_files(tmp_path, {"a.csv": "student,prompt,text,score\n" + rows}).writing.rows == 100


def test_parquet_texts_of_odd_types_are_read_or_refused(tmp_path: Path) -> None:
    def parquet(**columns: object) -> bytes:
        stream = io.BytesIO()
        pl.DataFrame(columns).write_parquet(stream)
        return stream.getvalue()

    body = parquet(
        prompt=["p", "p"], text=pl.Series([b"bytes", b"\xff"]), score=pl.Series([1, 0], dtype=pl.Decimal(4, 2))
    )
    assert ingest_files(tmp_path, {"a.parquet": body}, ANY).texts == ["bytes", "\ufffd"]
    with pytest.raises(SchemaError, match=r"column\(s\) text with several values in one cell \(a struct\)"):
        ingest_files(tmp_path, {"b.parquet": parquet(prompt=["p"], text=[{"a": 1}], score=[1])})


def test_labels_are_their_places_and_others_are_set_apart(tmp_path: Path) -> None:
    body = "prompt,text,score\np,a,Wrong\np,b,partly right\np,c,RIGHT \np,d,2\np,e,maybe\n"
    config = WritingIngestConfig(labels=("wrong", "partly right", "right"), quarantine_limit=1.0)
    outcome = ingest_files(tmp_path, {"a.csv": body}, config)
    assert outcome.by_row["score"].to_list() == [0, 1, 2]
    assert [fault[2] for fault in outcome.faults] == ["label_unknown"] * 2
    prompt = outcome.prompts["p"]
    assert (prompt["low"], prompt["high"], prompt["range_from"]) == (0, 2, "labels")
    assert prompt["labels"] == ["wrong", "partly right", "right"]
