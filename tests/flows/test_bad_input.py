"""Bad input at the command line: every kind has its message (what, value, rule, remedy) and its exit code.

Run in process through `main`. `docs/reference/errors.md` is the table that these tests hold to.
"""

import contextlib
import gzip
import http.server
import json
import os
import re
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

import components.errors
import serving.errors
from components.store import Store
from flows.__main__ import cli, main

ROOT = Path(components.errors.__file__).parents[1]
STUDENT = "kanari"
HEADER = "student,item,skills,correct,time"
DAY_MS = 86_400_000
START_MS = 1_760_000_000_000


def rows(students: int = 8, answers: int = 6, skill: str = "add") -> list[str]:
    return [
        f"{STUDENT}-{s},t{n},{skill},{(s + n) % 2},{START_MS + s * 1000 + n * 60_000}"
        for s in range(students)
        for n in range(answers)
    ]


def table(*lines: str) -> bytes:
    return ("\n".join([HEADER, *lines]) + "\n").encode()


GOOD = table(*rows())
UMLAUTS = [line.replace("add", "Brüche") for line in rows()]
FUTURE = f"{STUDENT}-1,t99,add,1,{START_MS + 40_000 * DAY_MS}"
MILLION = f"{STUDENT}-1,{STUDENT * 200_000},add,1,{START_MS}"

Told = tuple[int, str, str]


def told(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> Told:
    """Return the exit code, standard output and standard error of a command; no message shows a student or a trace."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    assert STUDENT not in err
    assert isinstance(ended.value.code, int)
    return ended.value.code, out, err


def ingest(data: Path | str, *more: str) -> list[str]:
    return ["stage", "ingest", "knowledge_tracing", "--data", str(data), *more]


def run(data: Path | str, *more: str) -> list[str]:
    return ["run", "knowledge_tracing", "--no-prefect", "--data", str(data), *more]


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


# -- places ------------------------------------------------------------------------------------------------------------


class Refusing(http.server.BaseHTTPRequestHandler):
    """Answers everything with one S3 error."""

    code = "AccessDenied"

    def do_GET(self) -> None:
        body = f'<?xml version="1.0"?><Error><Code>{self.code}</Code><Message>no</Message></Error>'.encode()
        self.send_response({"NoSuchBucket": 404, "ExpiredToken": 400}.get(self.code, 403))
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_PUT = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve an S3 that refuses, and forget what other tests' file systems remember."""
    import s3fs

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "secret-of-the-district")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    s3fs.S3FileSystem.clear_instance_cache()
    yield f"http://127.0.0.1:{server.server_port}"
    s3fs.S3FileSystem.clear_instance_cache()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("answer", "parts"),
    [
        ("InvalidAccessKeyId", ["the server does not know the access key", "AWS_ACCESS_KEY_ID"]),
        ("SignatureDoesNotMatch", ["the secret key does not belong to the access key", "AWS_SECRET_ACCESS_KEY"]),
        ("AccessDenied", ["the credentials are known but may not do this", "the server said AccessDenied"]),
        ("ExpiredToken", ["the credentials have expired", "AWS_SESSION_TOKEN"]),
        ("NoSuchBucket", ["there is no such bucket", "Make it, or correct its name"]),
    ],
)
def test_buckets_that_refuse(
    answer: str, parts: list[str], s3: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Refusing, "code", answer)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    code, _, err = told(run("s3://district/logs/a.csv"), capsys)
    assert code == 4
    assert "s3://district/logs/a.csv: " in err
    assert "secret-of-the-district" not in err
    for part in parts:
        assert part in err


@pytest.mark.parametrize(
    ("endpoint", "parts"),
    [
        ("http://127.0.0.1:9", ["nothing answers at the server 127.0.0.1:9: the connection was refused"]),
        ("http://no-such-host.invalid:9000", ["the name of the server no-such-host.invalid:9000 cannot be resolved"]),
    ],
)
def test_servers_that_cannot_be_reached(
    endpoint: str, parts: list[str], s3: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    code, _, err = told(run("s3://district/logs/a.csv"), capsys)
    assert code == 4
    for part in (*parts, "AWS_ENDPOINT_URL"):
        assert part in err


def test_a_store_that_cannot_be_reached(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.csv").write_bytes(GOOD)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("HOMEROOM_STORE", "s3://district/store")
    code, _, err = told(run(tmp_path / "a.csv"), capsys)
    assert code == 4
    assert "s3://district/store" in err
    assert "127.0.0.1:9" in err


# -- machines ----------------------------------------------------------------------------------------------------------


def test_a_gpu_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    (tmp_path / "a.csv").write_bytes(table(*rows(students=50)))
    code, out, err = told(run(tmp_path / "a.csv", "--json", "--set", "train.accelerator=cuda"), capsys)
    assert code == 9
    assert "train.accelerator = 'cuda' with train.devices = 1 asks for 1 GPU(s)" in err
    assert "--set train.accelerator=auto" in err
    assert json.loads(out)["error"]["kind"] == "DeviceMissingError"


@pytest.mark.slow
@pytest.mark.multiprocess
def test_a_training_process_that_is_killed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_bytes(table(*rows(students=50)))
    killed: list[int] = []

    def kill_the_training() -> None:
        while not killed:
            for child in psutil.Process().children():
                with contextlib.suppress(psutil.Error):
                    if "components.train" in child.cmdline():
                        child.kill()
                        killed.append(child.pid)
            time.sleep(0.01)

    killer = threading.Thread(target=kill_the_training, daemon=True)
    killer.start()
    code, _, err = told(run(tmp_path / "a.csv"), capsys)
    killer.join()
    assert code == 5
    assert "error: The training process was killed by SIGKILL and left no result." in err
    assert "the machine ran out of memory" in err
    assert "run the same command again: it goes on from the last checkpoint" in err


@pytest.mark.slow
@pytest.mark.multiprocess
@pytest.mark.parametrize("most_bytes", [600, 3000, 5000])
def test_a_full_disk(most_bytes: int, tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: the same steps fail, with EFBIG instead of ENOSPC."""
    (tmp_path / "a.csv").write_bytes(table(*rows(students=60, answers=12)))

    def command(limit: int | None) -> subprocess.CompletedProcess[str]:
        def hold_back() -> None:
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

        return subprocess.run(
            [sys.executable, "-m", "flows", *ingest(tmp_path / "a.csv")],
            preexec_fn=hold_back,
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            timeout=120,
        )

    failed = command(most_bytes)
    assert failed.returncode == 8, failed.stderr
    assert "error: " in failed.stderr
    assert "Traceback" not in failed.stderr
    assert "MB free" in failed.stderr
    assert "the same command again" in failed.stderr
    store = Store(os.environ["HOMEROOM_STORE"])
    assert not store.list_records("stages")
    for manifest in Path(os.environ["HOMEROOM_STORE"]).glob("artifacts/*/manifest.json"):
        store.verify(store.find(manifest.parent.name))
    done = command(None)
    assert done.returncode == 0, done.stderr


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
