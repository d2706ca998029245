"""What must hold for any file: refused with a sentence of ours, or read without losing a row or showing a text."""

import json
from pathlib import Path

import polars as pl

from components.errors import PipelineError
from components.schema import QUARANTINE_COLUMNS, Column
from components.writing.ingest.hints import HINTS
from components.writing.ingest.writing import Writing, read_writing
from components.writing.schema import RATER, RESPONSE_COLUMNS, SPLITS, TRAIT, WRITER_COLUMNS
from tests.components.ingest.fuzzing.bases import CANARY
from tests.components.ingest.fuzzing.properties import (
    KEY,
    LONGEST_MESSAGE,
    NOT_SHOWABLE,
    independent_rows,
    raw_files,
)
from tests.components.writing.ingest.fuzzing.files import HostileWriting


def check_file(hostile: HostileWriting, folder: Path) -> str:
    """Ingest a file and check everything; return the name of the error that refused it, or `read`."""
    file = hostile.file
    path = folder / file.name
    path.write_bytes(file.body)
    said: list[str] = []
    try:
        writing = read_writing(raw_files(path, file.body), hostile.config, folder, KEY, said.append)
    except PipelineError as error:
        text = str(error)
        assert text.strip()
        assert len(text) <= LONGEST_MESSAGE, len(text)
        assert CANARY not in text, text
        assert NOT_SHOWABLE.search(text) is None, ascii(text)
        return type(error).__name__
    finally:
        path.unlink()
    assert not list(folder.iterdir()), "copies are left behind"
    check_counts(writing, hostile)
    check_schema(writing)
    check_privacy(writing, said)
    return "read"


def check_counts(writing: Writing, hostile: HostileWriting) -> None:
    """Every row is kept, merged or in quarantine, once."""
    report = json.loads(json.dumps(writing.report))
    (counted,) = report["files"]
    kept, quarantine = writing.made.responses, writing.clean.quarantine
    assert counted["rows_in"] == counted["rows_kept"] + counted["rows_quarantined"] + counted["rows_merged"]
    assert counted["rows_kept"] == kept.height == writing.clean.responses.height
    assert counted["rows_quarantined"] == quarantine.height == sum(counted["reasons"].values())
    assert counted["rows_merged"] >= 0
    if writing.clean.responses["rater"].null_count() == kept.height:
        assert counted["rows_merged"] == 0
    places = [*kept["row"], *quarantine["row"]]
    assert len(places) == len(set(places))
    rows = independent_rows(hostile.file) if not hostile.file.name.endswith((".xml", ".parquet")) else None
    if rows is not None:
        assert counted["rows_in"] == len(rows), (counted["rows_in"], len(rows))
        if not counted["rows_merged"]:
            assert sorted(places) == rows


def check_schema(writing: Writing) -> None:
    """The tables are those of `components/writing/schema.py`."""
    made = writing.made
    rows = made.responses
    measured = [c for c in rows.columns if c.startswith((RATER, TRAIT))]
    _check_columns(rows.drop(measured), RESPONSE_COLUMNS)
    _check_columns(made.students.select("student", "declared_split"), WRITER_COLUMNS)
    _check_columns(writing.clean.quarantine, QUARANTINE_COLUMNS)
    assert all(rows[c].dtype == pl.Float64 for c in measured)
    assert all(rows[c].drop_nulls().is_finite().all() for c in ("score", *measured))
    for name in ("response", "student"):
        assert rows[name].str.contains(r"^[0-9a-f]{32}$").all()
    assert rows["response"].n_unique() == rows.height
    assert made.students["student"].to_list() == sorted(set(rows["student"]))
    assert not rows["text"].str.contains(r"[\x00\r]").any()
    assert (rows["text"].str.strip_chars() != "").all()
    assert set(rows["declared_split"].drop_nulls()) <= set(SPLITS)
    assert set(writing.clean.quarantine["reason"]) <= set(HINTS)
    assert [str(p["prompt"]) for p in writing.prompts if isinstance(p, dict)] == sorted(set(rows["prompt"]))
    for prompt in writing.prompts:
        assert isinstance(prompt, dict)
        if prompt["range_from"] != "unknown":
            assert float(str(prompt["low"])) < float(str(prompt["high"]))
    json.dumps(writing.prompts, allow_nan=False)


def _check_columns(frame: pl.DataFrame, columns: tuple[Column, ...]) -> None:
    assert frame.columns == [c.name for c in columns]
    for column in columns:
        assert frame[column.name].dtype == getattr(pl, column.dtype), column.name
        assert column.nullable or not frame[column.name].null_count(), column.name


def check_privacy(writing: Writing, said: list[str]) -> None:
    """Nobody's id or text is in the report, the quarantine, the pseudonyms or what was said."""
    shown = json.dumps(writing.report, ensure_ascii=False) + "\n".join(said)
    assert CANARY not in shown
    assert CANARY not in writing.clean.quarantine.write_csv()
    assert CANARY not in writing.made.responses.select("response", "student").write_csv()
