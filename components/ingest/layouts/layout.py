"""What a layout is: it recognises its files, reads them into answers, and knows how its rows belong together."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

import polars as pl

from components.ingest.answers import Batch, read_answers
from components.ingest.config import ColumnMapping, IngestConfig
from components.ingest.faults import Fault, unreadable
from components.ingest.files import RawFile
from components.ingest.heads import Head
from components.ingest.rows import TextOptions
from components.ingest.tables import check_columns, read_table, text_options

Merging = Literal["none", "order", "repeats"]


class Layout(ABC):
    """One layout of raw files."""

    name: ClassVar[str]
    skill_separator: str | None = None
    """What stands between skills in one cell."""
    keeps_duplicates: ClassVar[bool] = False
    """Whether rows that are the same in all that is read stay, as whoever published the data kept them."""

    def merging(self) -> Merging:
        """Return how rows that are one answer to a problem with several skills show.

        They share the order number (`order`), follow one another with the same item and answer (`repeats`), or there
        are none (`none`).
        """
        return "none"

    @abstractmethod
    def recognise(self, head: Head) -> bool:
        """Return whether a file with this head is in the layout."""

    @abstractmethod
    def read(self, file: RawFile, head: Head, config: IngestConfig) -> Iterator[Batch]:
        """Yield the file's answers, in the order of the source.

        Raises:
            SchemaError: the file as a whole is not what the layout needs.
        """

    def source_column(self, target: str) -> str:
        """Return the source's name for one of our columns, for messages; ours where the source has no names."""
        return target

    def settle(self, answers: pl.DataFrame) -> pl.DataFrame:
        """Return the answers of all files after what only all of them together tell. The rows stay the same."""
        return answers

    def late_faults(self, answers: pl.DataFrame) -> list[Fault]:
        """Return faults that only show when all answers are there, such as a student's who left early."""
        return []


class TableLayout(Layout):
    """A layout with named columns."""

    fallback_encoding: str | None = None

    @abstractmethod
    def mapping(self, columns: tuple[str, ...]) -> ColumnMapping:
        """Return which of a file's columns holds what."""

    def groups(self, columns: tuple[str, ...]) -> Mapping[str, str]:
        """Return source column -> name of the group attribute."""
        return {}

    def extra_columns(self) -> tuple[str, ...]:
        """Return columns that `prepare` needs beside those of the mapping."""
        return ()

    def prepare(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return a block after adding columns that the mapping names and the source lacks."""
        return frame

    def options(self, head: Head, config: IngestConfig) -> TextOptions:
        """Return how a text file is read."""
        return text_options(head, delimiter="auto", encoding=config.encoding, fallback=self.fallback_encoding)

    def read(self, file: RawFile, head: Head, config: IngestConfig) -> Iterator[Batch]:
        """Yield the file's answers block by block."""
        options = self.options(head, config)
        mapping, groups = self.mapping(options.names), self.groups(options.names)
        made = set(self.made_columns())
        columns = tuple(dict.fromkeys((*mapping.columns(), *groups, *self.extra_columns())))
        columns = tuple(c for c in columns if c not in made)
        check_columns(file, columns, options.names)
        for block in read_table(file, head, columns, options):
            answers, quarantine, attributes = read_answers(self.prepare(block.frame), mapping, groups, file.index)
            yield Batch(
                answers=answers,
                quarantine=pl.concat([unreadable(block.unreadable, file.index), quarantine]),
                groups=attributes,
                rows_in=block.frame.height + block.unreadable.height,
                blank_lines=block.blank_lines,
            )

    def made_columns(self) -> tuple[str, ...]:
        """Return the columns that `prepare` adds."""
        return ()
