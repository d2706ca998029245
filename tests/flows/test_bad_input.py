"""Bad student logs and configurations at the command line: each has its message and its exit code.

`docs/reference/errors.md` is the table that these tests hold to.
"""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

import components.errors
import serving.errors
from flows.__main__ import cli
from tests.flows.told import FUTURE, GOOD, HEADER, MILLION, START_MS, STUDENT, UMLAUTS, ingest, rows, run, table, told

ROOT = Path(components.errors.__file__).parents[1]


# -- files that are refused --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "body", "parts"),
    [
        ("a.csv", b"", ["a.csv: the file is empty", "deliver it again or leave it out"]),
        ("a.csv", b"\n \n", ["a.csv holds nothing but blanks", "expected rows"]),
        ("a.csv", table(), ["hold no rows below their headers", "expected answers"]),
        (
            "a.csv",
            GOOD.replace(b"student,item", b"pupil,task"),
            ["columns pupil, task, skills, correct, time", "[ingest.mapping]", 'student = "Student ID"'],
        ),
        (
            "a.csv",
            GOOD.replace(b"student,item", b"Student, ITEM"),
            ["these are the columns of homeroom once they are renamed: Student -> student, ITEM -> item"],
        ),
        (
            "a.csv",
            GOOD.replace(HEADER.encode() + b"\n", b""),
            ["a first line that does not look like names of columns"],
        ),
        ("a.csv", GOOD.replace(b"\n", b"\r"), ["a carriage return alone", r"tr '\r' '\n' < a.csv"]),
        ("a.csv.gz", gzip.compress(GOOD)[:-50], ["ends in the middle of its gzip stream", "have the file sent again"]),
        ("a.csv.gz", gzip.compress(GOOD)[:60] + bytes(90), ["a.csv.gz", "gzip stream", "have the file sent again"]),
        (
            "a.csv",
            GOOD.decode().encode("utf-16-le"),
            ["looks like text in UTF-16LE", "iconv -f UTF-16LE -t UTF-8 a.csv"],
        ),
        ("a.csv", GOOD.decode().encode("utf-16-be"), ["looks like text in UTF-16BE", "Save it again as UTF-8"]),
        ("a.csv", GOOD.decode().encode("utf-32"), ["looks like text in UTF-32"]),
        (
            "a.csv",
            table(*UMLAUTS).decode().encode("cp1252"),
            ["48 of 48 rows (100.0%)", "not_utf8: 48 rows", "set ingest.encoding to cp1252", "iconv -f WINDOWS-1252"],
        ),
        (
            "a.csv",
            table(*UMLAUTS[:30]) + "\n".join(UMLAUTS[30:]).encode("latin-1"),
            ["18 of 48 rows (37.5%)", "not_utf8: 18 rows", "where it changes in the middle, convert that part"],
        ),
        ("a.csv", b"PK\x03\x04" + GOOD, ["is a zip archive or a spreadsheet", "save the sheet as CSV"]),
        ("a.parquet", b"PAR1" + GOOD, ["starts like Parquet but cannot be read", "delivered again"]),
    ],
)
def test_files_that_are_refused(
    name: str, body: bytes, parts: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(body)
    code, out, err = told(ingest(tmp_path / name), capsys)
    assert code == 3
    assert not out
    assert err.startswith("error: ") or "\nerror: " in err
    for part in parts:
        assert part in err


def test_a_setting_of_the_encoding_never_garbles_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mixed = tmp_path / "mixed.csv"
    mixed.write_bytes(table(*UMLAUTS[:30]) + "\n".join(UMLAUTS[30:]).encode("cp1252"))
    code, _, err = told(ingest(mixed, "--set", "ingest.encoding=cp1252"), capsys)
    assert code == 3
    assert "30 of 48 rows (62.5%)" in err
    assert "not_in_the_encoding: 30 rows; expected the encoding that ingest.encoding names" in err


# -- rows that are set apart, and the rest is used ---------------------------------------------------------------------


def used(tmp_path: Path, body: bytes, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[dict[str, Any], str]:
    """Return the report's counts and standard error of a file that is used."""
    (tmp_path / "a.csv").write_bytes(body)
    code, out, err = told(ingest(tmp_path / "a.csv", *more), capsys)
    assert code == 0, err
    report: dict[str, Any] = json.loads((Path(json.loads(out)["ref"]["uri"]) / "report.json").read_text())
    assert report["rows_in"] == report["rows_kept"] + report["rows_quarantined"] + report["rows_merged"]
    return report, err


def test_a_million_characters_in_a_cell_cost_one_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, err = used(tmp_path, table(*rows(), MILLION), capsys)
    assert (report["rows_kept"], report["reasons"]) == (48, {"text_too_long": 1})
    assert len(err) < 1000


def test_times_in_the_future_are_told_and_with_a_limit_set_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = table(*rows(), FUTURE)
    report, err = used(tmp_path, body, capsys)
    assert report["rows_kept"] == 49
    assert "warning: 1 of 49 answers are dated in the future" in err
    assert "--set ingest.latest_time=" in err
    report, err = used(tmp_path, body, capsys, "--set", "ingest.latest_time=2025-12-31")
    assert (report["rows_kept"], report["reasons"]) == (48, {"time_in_future": 1})
    assert "warning" not in err


def test_rows_delivered_twice_count_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, err = used(tmp_path, table(*rows(), *rows()[:20]), capsys)
    assert (report["rows_kept"], report["rows_duplicate"]) == (48, 20)
    assert "20 in quarantine, 20 of them delivered before" in err


def test_a_student_with_one_answer_stays_and_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report, err = used(tmp_path, table(*rows(), f"{STUDENT}-solo,t1,add,1,{START_MS}"), capsys)
    assert (report["rows_kept"], report["students"], report["students_with_one_answer"]) == (49, 9, 1)
    assert "1 of 9 students have one answer only: they are kept and counted" in err


def test_students_with_one_answer_alone_are_not_enough(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_bytes(table(*rows(students=50, answers=1)))
    code, _, err = told(run(tmp_path / "a.csv"), capsys)
    assert code == 3
    assert "No step can be scored" in err
    assert "give more students or longer histories" in err


# -- configurations ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[train]\nmax_epoch = 3\n", ["train.max_epoch: unknown key; did you mean 'max_epochs'?"]),
        ("[train]\nwidht = 3\n", ["train.widht: unknown key", "Did you mean train.model.width?"]),
        ("[nonsense]\na = 1\n", ["nonsense: unknown key; known here: ingest, preprocess, leakage, train"]),
        ("[train]\nmax_epochs = 'three'\n", ["train.max_epochs = 'three': expected a whole number"]),
        ("[train]\nmax_epochs = 0\n", ["train: max_epochs=0 must be at least 1"]),
        ("[train]\naccelerator = 'tpu'\n", ["train.accelerator = 'tpu': expected 'auto', 'cpu' or 'cuda'"]),
        ("[ingest]\nquarantine_limit = 2.0\n", ["quarantine_limit is 2.0; expected a share"]),
        ("[ingest]\nlatest_time = 'soon'\n", ["latest_time = 'soon' is no date or time in ISO 8601; write e.g."]),
        ("[train]\nmax_epochs = = 3\n", ["is no valid TOML", "(at line 2, column 14): max_epochs = = 3"]),
        ("train = 3\n", ["train = 3: expected a section with keys of its own"]),
    ],
)
def test_wrong_configurations(text: str, parts: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_bytes(GOOD)
    (tmp_path / "mine.toml").write_text(text)
    code, _, err = told(run(tmp_path / "a.csv", "--config", str(tmp_path / "mine.toml")), capsys)
    assert code == 2
    assert err.startswith("error: mine.toml ")
    for part in parts:
        assert part in err


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ("train.max_epochs", "is no assignment. Write it as section.key=value"),
        ("train.max_epochs=", "gives no value"),
        ("train.max_epochs=many", "train.max_epochs = 'many': expected a whole number (given by --set"),
        ("trian.max_epochs=3", "trian: unknown key; did you mean 'train'?"),
        ("train.max_epochs.x=3", "'max_epochs' is a value, not a section"),
    ],
)
def test_wrong_overrides(given: str, part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_bytes(GOOD)
    code, _, err = told(run(tmp_path / "a.csv", "--set", "train.max_epochs=3", "--set", given), capsys)
    assert code == 2
    assert part in err


def test_a_toml_file_that_is_no_utf_8(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_bytes(GOOD)
    (tmp_path / "mine.toml").write_bytes("# für uns\n".encode("latin-1"))
    code, _, err = told(run(tmp_path / "a.csv", "--config", str(tmp_path / "mine.toml")), capsys)
    assert code == 2
    assert "mine.toml is no UTF-8 (byte 3), which TOML has to be. Save it again as UTF-8." in err


# -- what programs read ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "kind", "code"),
    [
        (["--set", "train.max_epoch=3"], "ConfigError", 2),
        ([], "QuarantineLimitError", 3),
        (["--refresh", "x"], "BadParameter", 2),
    ],
)
def test_with_json_an_error_is_one_object_on_standard_output(
    more: list[str], kind: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.csv").write_bytes(table(*UMLAUTS).decode().encode("latin-1"))
    ended, out, err = told(run(tmp_path / "a.csv", "--json", *more), capsys)
    error = json.loads(out)["error"]
    assert (ended, error["kind"], error["exit_code"]) == (code, kind, code)
    assert error["message"].splitlines()[0] in err


def test_the_table_of_the_documentation_is_that_of_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    page = ROOT / "docs" / "reference" / "errors.md"
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", page.read_text(), re.MULTILINE)}
    kinds = [
        kind
        for module in (components.errors, serving.errors)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, components.errors.PipelineError)
    ]
    codes = {kind.exit_code for kind in kinds} | {0, components.errors.INTERNAL, components.errors.INTERRUPTED}
    assert codes == documented
    help_text = cli.get_help(cli.make_context("homeroom", [], resilient_parsing=True))
    assert {int(n) for n in re.findall(r"(?:^ +|  )(\d+) [a-z]", help_text.partition("Exit codes")[2])} >= documented
    for kind in kinds:
        if kind.__module__ == "components.errors" and kind is not components.errors.PipelineError:
            assert f"`{kind.__name__}`" in page.read_text(), kind
