"""The head of a raw file: what its first bytes tell, from which layouts recognise themselves."""

import csv
import json
import re
from dataclasses import dataclass

from components.errors import SchemaError
from components.ingest.column_words import enough_are_column_words, words_of
from components.ingest.config import DELIMITERS
from components.ingest.files import Format, RawFile, open_text

HEAD_BYTES = 1 << 20
HEAD_LINES = 100
_NAME = re.compile(r"[^\W\d][\w .:/()#%&*?'-]{0,63}")
_JUDGEMENTS = {"correct", "incorrect", "right", "wrong"}
"""Words that are a column's name as often as what an answer is."""
_VALUES = {"true", "false", "yes", "no", "y", "n", "null", "none", "nan"}
"""Words that are no column's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """What is known of a file before it is read."""

    format: Format
    columns: tuple[str, ...]
    """Cells of the first line of a text file (a header or not), keys of JSON lines, columns of Parquet."""
    delimiter: str
    """The likely delimiter of a text file; empty where there is none."""
    lines: tuple[str, ...]
    """First lines of a text file that are not blank, whole."""

    @property
    def looks_like_header(self) -> bool:
        """Whether `columns` may be shown: they are names of columns, not somebody's data.

        In doubt they are not. Some have to be words that columns are named with, as a table may have a column per
        student. In text all have to be different, none a number, and none seen again below itself: a column may be
        called `right`, but only where the lines below show that this is not how it says that an answer is right.
        """
        names = [c.lower() for c in self.columns]
        if not names or not all(_NAME.fullmatch(c) for c in self.columns):
            return False
        if self.format != "text":
            return enough_are_column_words([words_of(name) for name in self.columns])
        if len(set(names)) < len(names) or _VALUES & set(names):
            return False
        below = [split_line(line, self.delimiter) for line in self.lines[1:] if line != self.lines[0]]
        for place, name in enumerate(names):
            cells = {row[place].lower() for row in below if place < len(row)} - {""}
            if name in cells or (name in _JUDGEMENTS and cells <= _JUDGEMENTS):
                return False
        tokens = []
        for place, name in enumerate(self.columns):
            texts = [row[place] for row in below if place < len(row)]
            tokens.append(words_of(name) - {word for text in texts for word in words_of(text)})
        return enough_are_column_words(tokens)


def read_head(file: RawFile, encoding: str = "utf-8") -> Head:
    """Return the head of `file`.

    Raises:
        SchemaError: a Parquet file that cannot be read, or text whose lines end with carriage returns alone.
    """
    if file.format == "parquet":
        return Head(format="parquet", columns=_parquet_columns(file), delimiter="", lines=())
    with open_text(file) as stream:
        body = stream.read(HEAD_BYTES)
    whole = len(body) < HEAD_BYTES
    rows = body.split(b"\n")
    if not whole and len(rows) > 1:
        rows.pop()
    full = [row for row in rows if row.strip()][:HEAD_LINES]  # blank as bytes are, for which U+00A0 is something
    lines = tuple(row.decode(encoding, errors="replace").rstrip("\r") for row in full)
    if file.format == "json":
        return Head(format="json", columns=_json_keys(lines), delimiter="", lines=lines)
    if lines and "\r" in re.sub(r'"[^"]*"', "", lines[0]):  # else the header would go on into somebody's data
        raise SchemaError(
            f"{file.name} ends its first line with a carriage return alone; expected lines that end with a line feed, "
            f"as all but very old systems write them. Save it again, or convert it: tr '\\r' '\\n' < {file.name}"
        )
    delimiter = sniffed_delimiter(lines[0]) if lines else ""
    columns = split_line(lines[0], delimiter) if lines else ()
    return Head(format="text", columns=columns, delimiter=delimiter, lines=lines)


def sniffed_delimiter(line: str) -> str:
    """Return the delimiter that stands most often in a line outside quotes; the earlier of `DELIMITERS` on a draw."""
    bare = re.sub(r'"[^"]*"', "", line)
    best = max(DELIMITERS, key=bare.count)
    return best if best in bare else ""


def split_line(line: str, delimiter: str) -> tuple[str, ...]:
    """Return the cells of one line without the blanks around them."""
    if not delimiter:
        return (line.strip(),)
    try:
        cells = next(csv.reader([line], delimiter=delimiter))
    except csv.Error:  # a cell beyond the reader's limit, or a carriage return inside the line
        cells = line.split(delimiter)
    return tuple(cell.strip() for cell in cells)


def _json_keys(lines: tuple[str, ...]) -> tuple[str, ...]:
    keys: dict[str, None] = {}
    for line in lines:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            keys.update(dict.fromkeys(value))
    return tuple(keys)


def _parquet_columns(file: RawFile) -> tuple[str, ...]:
    import polars as pl  # late: recognising text needs none of it

    try:
        return tuple(pl.scan_parquet(file.path, glob=False).collect_schema())  # brackets in a name are no pattern
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise SchemaError(
            f"{file.name} starts like Parquet but cannot be read ({type(error).__name__}): it is cut short or damaged. "
            "Have it delivered again."
        ) from None
