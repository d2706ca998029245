"""What must hold for any file: refused with a sentence of ours, or read without losing a row or showing a text."""

import csv
import gzip
import hashlib
import io
import json
import re
from pathlib import Path

import polars as pl

from components.artifacts import Lineage, RawFiles, Ref
from components.errors import PipelineError
from components.ingest.logs import Logs, read_logs
from components.ingest.quarantine import HINTS
from components.ingest.records import LONGEST_RECORD_LINES
from components.schema import INTERACTION_COLUMNS, QUARANTINE_COLUMNS, SKILL_SET_COLUMNS, STUDENT_COLUMNS, Column
from components.secrets import SecretKey
from tests.components.ingest.fuzzing.bases import CANARY
from tests.components.ingest.fuzzing.files import HostileFile

KEY = SecretKey(bytes(range(32)))
LONGEST_MESSAGE = 6_000
NOT_SHOWABLE = re.compile(r"[\x00-\x09\x0b-\x1f\x7f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffd]")


def raw_files(path: Path, body: bytes) -> RawFiles:
    """Return the handle of one file, as collecting it makes one."""
    digest = hashlib.sha256(body).hexdigest()
    return RawFiles(
        ref=Ref(uri="memory", sha256=digest, bytes=len(body), media_type="application/vnd.homeroom.RawFiles"),
        lineage=Lineage(stage="collect"),
        uris=(str(path),),
        digests=(digest,),
        roles=("any",),
    )


def check_file(file: HostileFile, folder: Path) -> str:
    """Ingest a file and check everything; return the name of the error that refused it, or `read`."""
    path = folder / file.name
    path.write_bytes(file.body)
    said: list[str] = []
    try:
        logs = read_logs(raw_files(path, file.body), file.config, folder, KEY, said.append)
    except PipelineError as error:
        check_message(str(error))
        return type(error).__name__
    finally:
        path.unlink()
    assert not list(folder.iterdir()), "copies are left behind"
    check_counts(logs, file)
    check_schema(logs)
    check_privacy(logs, said)
    return "read"


def check_message(text: str) -> None:
    """A message is a sentence of bearable length, shows nobody's text, and nothing that a terminal would act on."""
    assert text.strip()
    assert text[0].isupper() or text[0].isdigit() or text.startswith("answers"), text
    assert len(text) <= LONGEST_MESSAGE, len(text)
    assert CANARY not in text, text
    assert NOT_SHOWABLE.search(text) is None, ascii(text)


def check_counts(logs: Logs, file: HostileFile) -> None:
    """Every row is kept, merged or in quarantine, once."""
    report = json.loads(json.dumps(logs.report))
    (counted,) = report["files"]
    kept, quarantine = logs.clean.answers, logs.clean.quarantine
    assert counted["rows_in"] == counted["rows_kept"] + counted["rows_quarantined"] + counted["rows_merged"]
    assert counted["rows_kept"] == kept.height == logs.made.interactions.height
    assert counted["rows_quarantined"] == quarantine.height == sum(counted["reasons"].values())
    assert counted["rows_merged"] == logs.clean.merged >= 0
    if file.config.protocol == "row_per_skill" or logs.layout.merging() == "none":
        assert counted["rows_merged"] == 0
    if logs.layout.name.startswith("sequences"):
        return  # a row is a cell of a line there
    places = [*kept["row"], *quarantine["row"]]
    assert len(places) == len(set(places)) or logs.clean.merged
    rows = independent_rows(file)
    if rows is not None:
        assert counted["rows_in"] == len(rows), (counted["rows_in"], len(rows))
        if not logs.clean.merged:
            assert sorted(places) == rows


def independent_rows(file: HostileFile) -> list[int] | None:
    """Return the numbers of the file's rows as somebody else counts them, or None where a file has no such number.

    A row is a record with more in it than delimiters; blank ones are counted and are no rows. Without quotes, records
    are lines that end with a line feed (and perhaps a return before it). With quotes, they are those of the csv module
    in its strict mode, where all of this holds: lines end with LF or CRLF alone; cells with quotes in them are quoted,
    and the quotes written as two (RFC 4180); a record over several lines has as many cells as the header and at most as
    many lines as ingest believes.
    """
    body = file.body
    for _ in range(2):
        if body.startswith(b"\x1f\x8b"):
            body = gzip.decompress(body)
    text = body.decode("utf-16") if body[:2] in (b"\xff\xfe", b"\xfe\xff") else body.decode(errors="surrogateescape")
    text = text.removeprefix("\ufeff")
    if text.lstrip().startswith("{"):
        return [n for n, line in enumerate(_lines(text), 1) if line.strip(" \t\r\n\x0b\x0c")]
    if not file.is_table or "other_delimiters" in file.spoiled or "flip_bytes" in file.spoiled:
        return None
    header, lines = "", _lines(text)
    while file.has_header and lines:
        header, *lines = lines
        if header.strip(" \t\r\n\x0b\x0c"):
            break
    if '"' not in text:
        return [n for n, line in enumerate(lines, 1) if line.removesuffix("\r").strip(file.delimiter)]
    if "\r" in text.replace("\r\n", "\n") or "\0" in text or header.count('"') % 2:
        return None
    return _strict_rows(
        "\n".join(lines) + "\n", file.delimiter, (header.count(file.delimiter) if file.has_header else 3) + 1
    )


def _lines(text: str) -> list[str]:
    lines = text.split("\n")
    return lines if lines[-1] else lines[:-1]


def _strict_rows(text: str, delimiter: str, width: int) -> list[int] | None:
    csv.field_size_limit(1 << 24)
    stream = io.StringIO(text, newline="")
    physical = text.split("\n")
    reader = csv.reader(stream, delimiter=delimiter, strict=True)
    cell = rf'(?:"(?:[^"]++|"")*+"|[^"{re.escape(delimiter)}\n]*+)'
    well_formed = re.compile(rf"{cell}(?:{re.escape(delimiter)}{cell})*+")
    rows, before = [], 0
    try:
        for number, record in enumerate(reader, 1):
            whole = "\n".join(physical[before : reader.line_num])
            lines, before = reader.line_num - before, reader.line_num
            if lines > 1 and (len(record) != width or lines > LONGEST_RECORD_LINES):
                return None
            if well_formed.fullmatch(whole.removesuffix("\r")) is None:
                return None
            if whole.removesuffix("\r").strip(delimiter):
                rows.append(number)
    except csv.Error:
        return None
    return rows


def check_schema(logs: Logs) -> None:
    """The tables are those of `components/schema.py`."""
    made, quarantine = logs.made, logs.clean.quarantine
    rows = made.interactions
    for frame, columns in (
        (rows, INTERACTION_COLUMNS),
        (made.skill_sets, SKILL_SET_COLUMNS),
        (quarantine, QUARANTINE_COLUMNS),
        (made.students.select("student", "declared_split"), STUDENT_COLUMNS),
    ):
        _check_columns(frame, columns)
    assert rows["student"].str.contains(r"^[0-9a-f]{32}$").all()
    assert rows["correct"].drop_nulls().is_in([0, 1]).all()
    assert rows["score"].drop_nulls().is_between(0, 1).all()
    assert (rows["correct"].is_not_null() | rows["score"].is_not_null()).all()
    assert rows["response_ms"].drop_nulls().ge(0).all()
    assert rows["attempt"].drop_nulls().ge(1).all()
    assert rows["time_ms"].null_count() in (0, rows.height)
    assert rows["skill_set"].is_in(made.skill_sets["skill_set"].implode()).all()
    assert made.skill_sets["skill_set"].to_list() == list(range(made.skill_sets.height))
    assert all(list(s) == sorted(set(s)) for s in made.skill_sets["skills"])
    assert rows["student"].is_sorted()
    assert made.students["student"].to_list() == sorted(set(rows["student"]))
    steps = rows.with_columns(pl.int_range(pl.len(), dtype=pl.UInt32).over("student").alias("expected"))
    assert (steps["position"] == steps["expected"]).all()
    assert rows.select((pl.col("time_ms").diff().over("student") >= 0).all()).item() is not False
    assert set(quarantine["reason"]) <= set(HINTS) | {"duplicate_row"}


def _check_columns(frame: pl.DataFrame, columns: tuple[Column, ...]) -> None:
    assert frame.columns == [c.name for c in columns]
    for column in columns:
        wanted = pl.List(pl.String) if column.dtype == "List(String)" else getattr(pl, column.dtype)
        assert frame[column.name].dtype == wanted, column.name
        assert column.nullable or not frame[column.name].null_count(), column.name


def check_privacy(logs: Logs, said: list[str]) -> None:
    """Nobody's id or text is in the report, the quarantine, the students' pseudonyms or what was said."""
    shown = json.dumps(logs.report, ensure_ascii=False) + "\n".join(said)
    assert CANARY not in shown
    assert CANARY not in "\n".join(logs.clean.quarantine.write_csv().splitlines())
    assert CANARY not in logs.made.interactions["student"].str.join("\n").item()
