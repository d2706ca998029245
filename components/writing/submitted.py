"""Columns of submitted files as they were delivered, by file and row: what puts names and ids back beside grades."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from components.artifacts import RawFiles
from components.errors import ConfigError
from components.ingest.files import raw_file
from components.ingest.heads import read_head
from components.ingest.tables import read_table
from components.writing.ingest.config import WritingIngestConfig
from components.writing.ingest.layouts.layout import TableLayout
from components.writing.ingest.recognition import layout_if_known


def submitted_columns(
    raw: RawFiles,
    config: WritingIngestConfig,
    scratch: Path,
    wanted: Callable[[Sequence[str]], Sequence[str]],
) -> dict[int, pl.DataFrame]:
    """Return file -> its wanted columns, row n of the table being row n of the file; unreadable rows are null.

    Args:
        raw: the files that were scored.
        config: how they were read.
        scratch: folder for unpacked copies.
        wanted: given a file's columns, returns those that are wanted.

    Raises:
        ConfigError: a file is no table with named columns.
    """
    found = {}
    for index in range(len(raw.uris)):
        with raw_file(raw, index, scratch) as file:
            own = replace(config, encoding="utf-8") if file.has_mark else config
            head = read_head(file, own.encoding)
            layout = layout_if_known(own, head)
            if not isinstance(layout, TableLayout):
                raise ConfigError(
                    f"{file.name} is no table with named columns, from which ids could be put back; expected one. "
                    "Score a table, or write no grades (without --grades)."
                )
            options = layout.options(head, own)
            columns = list(dict.fromkeys(wanted(options.names)))
            if not columns:
                continue
            blocks = [block.frame.select("row", *columns) for block in read_table(file, head, columns, options)]
            table = pl.concat(blocks)
            last = int(table["row"].max() or 0)  # type: ignore[arg-type]  # polars types max() broadly
            rows = pl.DataFrame({"row": pl.int_range(1, last + 1, dtype=pl.UInt32, eager=True)})
            found[index] = rows.join(table, on="row", how="left", maintain_order="left").drop("row")
    return found
