"""What a layout of scored writing is: it recognises its files, reads them, and knows the scales of its prompts."""

import csv
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import ClassVar

import polars as pl

from components.ingest.faults import unreadable
from components.ingest.files import RawFile
from components.ingest.heads import Head
from components.ingest.rows import TextOptions
from components.ingest.tables import check_columns, read_table
from components.writing.ingest.config import Rubric, WritingIngestConfig, WritingMapping
from components.writing.ingest.responses import Batch, read_responses


class WritingLayout(ABC):
    """One layout of raw files."""

    name: ClassVar[str]
    labels: tuple[str, ...] = ()
    """Names of the grades, the lowest first, unless the configuration gives some."""
    rubrics: Mapping[str, Rubric] = {}
    """Prompt -> its published scale, unless the configuration gives one."""

    @abstractmethod
    def recognise(self, head: Head) -> bool:
        """Return whether a file with this head is in the layout."""

    @abstractmethod
    def read(self, file: RawFile, head: Head, config: WritingIngestConfig) -> Iterator[Batch]:
        """Yield the file's responses, in the order of the source.

        Raises:
            SchemaError: the file as a whole is not what the layout needs.
        """

    def source_column(self, target: str) -> str:
        """Return the source's name for one of our columns, for messages; ours where the source has no names."""
        return target


class TableLayout(WritingLayout):
    """A layout with named columns."""

    has_quotes: bool | None = None
    """Whether cells may stand in quotes; None: as the configuration says."""

    @abstractmethod
    def mapping(self, columns: tuple[str, ...]) -> WritingMapping:
        """Return which of a file's columns holds what."""

    def groups(self, columns: tuple[str, ...]) -> Mapping[str, str]:
        """Return source column -> name of the group attribute."""
        return {}

    def made_from(self, columns: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
        """Return columns that the mapping names and `prepare` makes -> the columns that it makes them from."""
        return {}

    def prepare(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return a block after adding columns that the mapping names and the source lacks."""
        return frame

    def delimiter(self) -> str:
        """Return what stands between columns, or `auto`."""
        return "auto"

    def options(self, head: Head, config: WritingIngestConfig) -> TextOptions:
        """Return how a text file is read."""
        delimiter = head.delimiter if self.delimiter() == "auto" else self.delimiter()
        has_quotes = self.has_quotes
        if has_quotes is None:
            has_quotes = config.quoting == "standard" or (config.quoting == "auto" and not _means_no_quotes(head))
        names = head.columns
        if head.format == "text" and delimiter != head.delimiter:
            names = tuple(cell.strip() for cell in head.lines[0].split(delimiter))
        return TextOptions(
            names=names,
            has_header=head.format == "text",
            delimiter=delimiter or ",",
            encoding=config.encoding,
            fallback=None if config.fallback == "none" else config.fallback,
            has_quotes=has_quotes,
            has_long_cells=True,
            joins_lists=False,
        )

    def read(self, file: RawFile, head: Head, config: WritingIngestConfig) -> Iterator[Batch]:
        """Yield the file's responses block by block."""
        options = self.options(head, config)
        mapping, groups = self.mapping(options.names), self.groups(options.names)
        made = self.made_from(options.names)
        wanted = [source for column in (*mapping.columns(), *groups) for source in made.get(column, (column,))]
        columns = tuple(dict.fromkeys(wanted))
        check_columns(file, columns, options.names)
        for block in read_table(file, head, columns, options):
            frame = self.prepare(block.frame)
            typed = read_responses(frame, mapping, groups, file, config.labels or self.labels, config)
            yield Batch(
                responses=typed.responses,
                quarantine=pl.concat([unreadable(block.unreadable, file.index), typed.quarantine]),
                groups=typed.groups,
                ids=typed.ids,
                rows_in=block.frame.height + block.unreadable.height,
                rows_unreadable=block.unreadable.height,
                blank_lines=block.blank_lines,
                repaired_lines=block.repaired_lines,
                null_bytes=typed.null_bytes,
            )


def _means_no_quotes(head: Head) -> bool:
    """Return whether quotes in a tab-separated file are characters like others.

    So where every line has as many cells as the header once quotes mean nothing, and some line has not when they mean
    what RFC 4180 says, or has quotes that cannot be a cell's.
    """
    if head.format != "text" or head.delimiter != "\t":
        return False
    below = head.lines[1:]
    width = head.lines[0].count("\t")
    if not any('"' in line for line in below) or any(line.count("\t") != width for line in below):
        return False
    return not all(_could_be_quoted(line) for line in below)


def _could_be_quoted(line: str) -> bool:
    try:
        next(csv.reader([line], delimiter="\t", strict=True))
    except csv.Error:
        return False
    return all(cell.startswith('"') for cell in line.split("\t") if '"' in cell)
