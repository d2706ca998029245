"""The source of a run: all its files read, in the order of `RawFiles`, in the one layout that they have."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import polars as pl

from components.artifacts import RawFiles
from components.errors import SchemaError
from components.ingest.answers import Batch
from components.ingest.config import IngestConfig
from components.ingest.files import FileCount, raw_file
from components.ingest.heads import Head, read_head
from components.ingest.layouts.layout import Layout
from components.ingest.recognition import is_found, layout_if_known, layout_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What was read."""

    layout: Layout
    batches: list[Batch]
    """Of all files, in the order of files and rows."""
    files: list[FileCount]


def read_files(raw: RawFiles, config: IngestConfig, scratch: Path) -> Source:
    """Return the answers of all files; one file at a time is unpacked.

    Raises:
        SchemaError: a file cannot be read, or the files are not in one known layout; all of the latter listed.
    """
    batches: list[Batch] = []
    files: list[FileCount] = []
    layout: Layout | None = None
    for index in range(len(raw.uris)):
        with raw_file(raw, index, scratch) as file:
            own_config = replace(config, encoding="utf-8") if file.has_mark else config
            head = read_head(file, own_config.encoding)
            if layout is None or is_found(config):
                own = layout_if_known(config, head)
                if own is None or (layout is not None and own.name != layout.name):
                    _refuse(raw, config, scratch)
                layout = layout or own
            rows_in = blank_lines = 0
            try:
                for batch in layout.read(file, head, own_config):
                    batches.append(batch)
                    rows_in += batch.rows_in
                    blank_lines += batch.blank_lines
            except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
                # polars quotes cells in its messages, so neither they nor the chain may be shown
                raise SchemaError(
                    f"{file.name} could not be read as {layout.name}: {type(error).__name__}. Check the file, or name "
                    "its layout or mapping in the configuration."
                ) from None
            files.append(
                FileCount(
                    index=index,
                    digest=file.digest,
                    role=file.role,
                    format=file.format,
                    rows_in=rows_in,
                    blank_lines=blank_lines,
                )
            )
    if layout is None:
        raise SchemaError("The handle names no files; expected at least one. Collect them again.")
    return Source(layout=layout, batches=batches, files=files)


def _refuse(raw: RawFiles, config: IngestConfig, scratch: Path) -> NoReturn:
    """Raise what is wrong with the layouts of the files, after a look at the head of every one."""
    names: list[str] = []
    heads: list[Head] = []
    for index in range(len(raw.uris)):
        with raw_file(raw, index, scratch) as file:
            names.append(file.name)
            heads.append(read_head(file, "utf-8" if file.has_mark else config.encoding))
    layout_of(config, names, heads)
    raise AssertionError("files in one known layout were refused")  # our own mistake
