"""Blocks of rows: what reading a part of a table gives, before anything is known of what its columns mean."""

from dataclasses import dataclass

import polars as pl

from components.ingest.lines import is_utf8, lines_not_utf8, recoded, repaired

JOIN = "\x1f"
"""Stands between several values of one cell that came as a list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableBlock:
    """Some rows of a table."""

    frame: pl.DataFrame
    """The columns asked for, as text (of any type from Parquet), and `row` UInt32: 1-based, the header not counted,
    blank lines counted."""
    unreadable: pl.DataFrame
    """`row` UInt32 and `reason` String of records that could not be taken apart."""
    blank_lines: int
    repaired_lines: int = 0
    """Lines that were read in the fallback encoding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextOptions:
    """How to read a text file."""

    names: tuple[str, ...]
    """Names of its columns in order."""
    has_header: bool
    delimiter: str
    encoding: str = "utf-8"
    fallback: str | None = None
    """Encoding of lines that are not UTF-8; without one they are unreadable."""
    has_quotes: bool = True
    """Whether cells of delimited text may stand in quotes; else a quote is a character like others."""
    has_long_cells: bool = False
    """Whether cells may go over many lines, as essays do. Behind a stray quote records are then looked for line after
    line; else lines are taken one by one there."""
    joins_lists: bool = True
    """Whether a JSON array becomes its members, joined; else it stays the text that it is."""

    @property
    def reason_of_bytes(self) -> str:
        """Why a line whose bytes are not in the encoding goes to quarantine."""
        return "not_utf8" if self.encoding == "utf-8" else "not_in_the_encoding"


def as_utf8(block: bytes, options: TextOptions) -> bytes:
    """Return a block of lines in UTF-8, as far as the options say how; a line that is not stays no UTF-8."""
    if options.encoding != "utf-8":
        return block if block.isascii() else recoded(block, options.encoding)
    if options.fallback is not None and not is_utf8(block):
        return repaired(block, options.fallback)
    return block


def repaired_lines(block: bytes, options: TextOptions) -> int:
    """Return how many lines of a block `as_utf8` reads in the fallback encoding."""
    if options.encoding != "utf-8" or options.fallback is None or is_utf8(block):
        return 0
    return lines_not_utf8(block)
