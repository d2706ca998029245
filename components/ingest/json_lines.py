"""JSON lines: one object per line, read many at once, and one by one where a block holds a damaged line."""

import json
import re
from collections.abc import Callable, Iterator, Sequence

import polars as pl

from components.ingest.files import RawFile, open_text
from components.ingest.lines import blocks
from components.ingest.rows import JOIN, TableBlock, TextOptions, as_utf8, repaired_lines

_HIGH, _LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_LONE_SURROGATE = re.compile(rb"%s(?!%s)|(?<!%s)%s" % (_HIGH, _LOW, rb"\\u[dD][89abAB]..", _LOW))


def json_blocks(file: RawFile, columns: Sequence[str], options: TextOptions) -> Iterator[TableBlock]:
    """Yield blocks of `columns`, each as text."""
    rows_before = 0
    with open_text(file) as stream:
        for piece in blocks(stream, file.name):
            lines = as_utf8(piece, options).split(b"\n")[:-1]
            full = [i for i, line in enumerate(lines, rows_before + 1) if line.strip()]
            bad: list[int] = []
            reasons: list[str] = []
            frame = _parsed_at_once(b"\n".join(lines), columns, len(full))
            if frame is not None:
                good = full
            else:
                frame, good, bad, reasons = _parsed_one_by_one(lines, columns, rows_before, options.reason_of_bytes)
            if options.joins_lists:
                frame = _lists_joined(frame)
            yield TableBlock(
                frame=frame.with_columns(pl.Series("row", good, pl.UInt32)),
                unreadable=pl.DataFrame(
                    {"row": bad, "reason": reasons}, schema={"row": pl.UInt32, "reason": pl.String}
                ),
                blank_lines=len(lines) - len(full),
                repaired_lines=repaired_lines(piece, options),
            )
            rows_before += len(lines)


def _parsed_at_once(body: bytes, columns: Sequence[str], rows: int) -> pl.DataFrame | None:
    """Return the block as polars reads it, or None where something in it is damaged."""
    if _LONE_SURROGATE.search(body):  # polars 2.1 makes a NUL of it, and so one id of several
        return None
    try:
        frame = pl.read_ndjson(body, schema=dict.fromkeys(columns, pl.String))
    except pl.exceptions.PolarsError:
        return None
    return frame if frame.height == rows else None


def _parsed_one_by_one(
    lines: Sequence[bytes], columns: Sequence[str], rows_before: int, reason_of_bytes: str
) -> tuple[pl.DataFrame, list[int], list[int], list[str]]:
    cells: dict[str, list[str | None]] = {c: [] for c in columns}
    good, bad, reasons = [], [], []
    for row, line in enumerate(lines, rows_before + 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line.decode())
        except UnicodeDecodeError:
            value, reason = None, reason_of_bytes
        except (ValueError, RecursionError):
            value, reason = None, "not_json"
        else:
            reason = "not_json"
        if not isinstance(value, dict):
            bad.append(row)
            reasons.append(reason)
            continue
        good.append(row)
        for column in columns:
            cells[column].append(_as_cell(value.get(column)))
    return pl.DataFrame(cells, schema=dict.fromkeys(columns, pl.String)), good, bad, reasons


def _as_cell(value: object) -> str | None:
    if value is None or isinstance(value, str):
        # a lone surrogate is no text that could be written anywhere: it becomes the mark of a lost character
        return None if value is None else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return json.dumps(value)


def _lists_joined(frame: pl.DataFrame) -> pl.DataFrame:
    """Turn JSON arrays in text into their members, joined."""
    return frame.with_columns(
        _mapped(frame[c], _list_text) for c in frame.columns if frame[c].str.starts_with("[").any()
    )


def _list_text(text: str) -> str:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return JOIN.join(str(v) for v in value if v is not None) if isinstance(value, list) else text


def _mapped(series: pl.Series, change: Callable[[str], str]) -> pl.Series:
    """Apply `change` to each different value once."""
    different = series.drop_nulls().unique()
    changed = pl.Series([change(v) for v in different], dtype=pl.String)
    return series.replace_strict(different, changed, default=None, return_dtype=pl.String)
