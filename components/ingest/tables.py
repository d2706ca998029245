"""Tables from files: delimited text, JSON lines and Parquet alike become blocks of numbered rows."""

from collections.abc import Iterator, Sequence

import polars as pl

from components.errors import SchemaError
from components.ingest.delimited import delimited_blocks
from components.ingest.files import RawFile
from components.ingest.heads import Head, split_line
from components.ingest.json_lines import json_blocks
from components.ingest.rows import JOIN, TableBlock, TextOptions


def read_table(file: RawFile, head: Head, columns: Sequence[str], options: TextOptions) -> Iterator[TableBlock]:
    """Yield the blocks of `columns` of a file.

    Raises:
        SchemaError: the file as a whole cannot be read.
    """
    if head.format == "parquet":
        return _parquet(file, columns)
    if head.format == "json":
        return json_blocks(file, columns, options)
    return delimited_blocks(file, columns, options)


def _parquet(file: RawFile, columns: Sequence[str]) -> Iterator[TableBlock]:
    try:
        frame = pl.read_parquet(file.path, columns=list(dict.fromkeys(columns)), glob=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise SchemaError(
            f"{file.name} is Parquet that cannot be read ({type(error).__name__}): it is damaged. Have it sent again."
        ) from None
    nested = [c for c, t in frame.schema.items() if isinstance(t, pl.Struct | pl.Object)]
    if nested:
        raise SchemaError(
            f"{file.name} has the column(s) {', '.join(nested)} with several values in one cell (a struct); expected "
            "text, numbers, times or lists of text. Write each value into a column of its own."
        )
    frame = frame.with_columns(_decoded(frame[c]) for c, t in frame.schema.items() if t == pl.Binary)
    several = [c for c, t in frame.schema.items() if isinstance(t, pl.List | pl.Array)]
    frame = frame.with_columns(
        *(pl.col(c).cast(pl.List(pl.String)).list.join(JOIN, ignore_nulls=True) for c in several),
        *(pl.col(c).cast(pl.String) for c, t in frame.schema.items() if t == pl.Null),
    )
    yield TableBlock(
        frame=frame.with_columns(pl.int_range(1, frame.height + 1, dtype=pl.UInt32).alias("row")),
        unreadable=pl.DataFrame(schema={"row": pl.UInt32, "reason": pl.String}),
        blank_lines=0,
    )


def _decoded(column: pl.Series) -> pl.Series:
    """Return the text of bytes, as some writers of Parquet store it; what is no UTF-8 is marked as lost."""
    try:
        return column.cast(pl.String)
    except pl.exceptions.PolarsError:  # all of it, also with strict=False
        cells = [None if cell is None else cell.decode("utf-8", errors="replace") for cell in column]
        return pl.Series(column.name, cells, dtype=pl.String)


def check_columns(file: RawFile, columns: Sequence[str], names: Sequence[str]) -> None:
    """Refuse a file that lacks some of `columns`, or has one twice, among its `names`.

    Raises:
        SchemaError: all such columns listed.
    """
    missing = [c for c in columns if c not in names]
    doubled = [c for c in columns if names.count(c) > 1]
    if missing:
        raise SchemaError(
            f"{file.name} lacks the column(s) {', '.join(missing)}. Correct the mapping, or deliver them in the header "
            "(names count upper and lower case)."
        )
    if doubled:
        raise SchemaError(
            f"{file.name} has the column(s) {', '.join(doubled)} twice; expected each name once. Rename one of them."
        )


def text_options(head: Head, *, delimiter: str, encoding: str, fallback: str | None) -> TextOptions:
    """Return the options of a file whose first line is its header."""
    chosen = head.delimiter if delimiter == "auto" else delimiter
    names = split_line(head.lines[0], chosen) if head.format == "text" else head.columns
    return TextOptions(
        names=names, has_header=head.format == "text", delimiter=chosen or ",", encoding=encoding, fallback=fallback
    )
