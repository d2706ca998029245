"""Delimited text (CSV, TSV): blocks of whole records, those that cannot be taken apart set apart with their reason."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from components.ingest.files import RawFile, open_text
from components.ingest.lines import blocks, is_utf8
from components.ingest.records import Records, find_records
from components.ingest.rows import TableBlock, TextOptions, as_utf8, repaired_lines


def delimited_blocks(file: RawFile, columns: Sequence[str], options: TextOptions) -> Iterator[TableBlock]:
    """Yield blocks of `columns`, each as text."""
    places = [options.names.index(c) for c in columns]
    width = len(options.names)
    rows_before = repaired = 0
    waits_for_header = options.has_header
    carry = b""
    with open_text(file) as stream:
        pieces = blocks(stream, file.name)
        piece = next(pieces, None)
        while piece is not None:
            following = next(pieces, None)
            repaired += repaired_lines(piece, options)
            body = carry + as_utf8(piece, options)
            if waits_for_header:
                body, found = _without_header(body)
                waits_for_header = not found
            records = find_records(
                body,
                options.delimiter,
                width,
                is_last=following is None,
                has_quotes=options.has_quotes,
                has_long_cells=options.has_long_cells,
            )
            carry = body[records.used :]
            if len(records.starts):
                yield _block(body, records, rows_before, columns, places, width, options, repaired)
                repaired = 0
            rows_before += len(records.starts)
            piece = following


def _without_header(body: bytes) -> tuple[bytes, bool]:
    """Return what follows the first line that is not blank, and whether there was one."""
    at = 0
    while at < len(body):
        end = body.index(b"\n", at) + 1
        if body[at:end].strip():
            return body[end:], True
        at = end
    return b"", False


def _block(
    body: bytes,
    records: Records,
    rows_before: int,
    columns: Sequence[str],
    places: Sequence[int],
    width: int,
    options: TextOptions,
    repaired: int,
) -> TableBlock:
    count = len(records.starts)
    fault = np.zeros(count, np.int8)
    if not is_utf8(body[: records.used]):
        fault[_not_utf8(body, records)] = 3
    fault[records.cells != width] = 2
    fault[records.has_bad_quotes] = 1
    fault[records.is_blank] = -1
    good = fault == 0
    rows = np.arange(rows_before + 1, rows_before + count + 1, dtype=np.uint32)
    text = body[: records.used] if good.all() else _only(body, records, good)
    if text:
        frame = pl.read_csv(
            text,
            has_header=False,
            separator=options.delimiter,
            quote_char='"' if options.has_quotes and b'"' in text else None,
            infer_schema=False,
            columns=sorted(set(places)),
        )
        frame = frame.select(pl.col(f"column_{p}").alias(c) for p, c in zip(places, columns, strict=True))
    else:
        frame = pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
    if frame.height != int(good.sum()):
        raise AssertionError(f"{frame.height} rows parsed of {int(good.sum())} found")  # our own mistake
    reasons = np.array(["", "quotes_do_not_pair", "wrong_number_of_cells", options.reason_of_bytes])
    bad = fault > 0
    return TableBlock(
        frame=frame.with_columns(pl.Series("row", rows[good], pl.UInt32)),
        unreadable=pl.DataFrame(
            {"row": rows[bad], "reason": reasons[fault[bad]].tolist()}, schema={"row": pl.UInt32, "reason": pl.String}
        ),
        blank_lines=int(records.is_blank.sum()),
        repaired_lines=repaired,
    )


def _not_utf8(body: bytes, records: Records) -> npt.NDArray[np.int64]:
    high = np.flatnonzero(np.frombuffer(body, np.uint8)[: records.used] >= 0x80)
    touched = np.unique(np.searchsorted(records.ends, high))
    bad = [i for i in touched if not is_utf8(body[records.starts[i] : records.ends[i]])]
    return np.array(bad, np.int64)


def _only(body: bytes, records: Records, good: npt.NDArray[np.bool_]) -> bytes:
    """Return the good records, cut out in runs."""
    edges = np.flatnonzero(np.diff(good.astype(np.int8), prepend=0, append=0))
    firsts, lasts = edges[::2], edges[1::2] - 1
    view = memoryview(body)
    return b"".join(view[records.starts[a] : records.ends[b] + 1] for a, b in zip(firsts, lasts, strict=True))
