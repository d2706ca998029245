"""What became of the rows of each file: the same for every kind of data."""

from collections.abc import Sequence

import polars as pl

from components.artifacts import JsonValue
from components.ingest.faults import DUPLICATE
from components.ingest.files import FileCount
from components.ingest.quarantine import counted


def file_counts(files: Sequence[FileCount], kept: pl.Series, quarantine: pl.DataFrame) -> list[JsonValue]:
    """Return an entry for each file, in which rows_in = rows_kept + rows_quarantined + rows_merged + rows_erased.

    Args:
        files: what was read of each.
        kept: the file of each row that was kept.
        quarantine: the rows set apart, with `file` and `reason`.
    """
    entries: list[JsonValue] = []
    for file in files:
        own = quarantine.filter(pl.col("file") == file.index)
        rows_kept = int((kept == file.index).sum())
        reasons: dict[str, JsonValue] = {**counted(own)}
        entries.append(
            {
                "file": file.index,
                "sha256": file.digest,
                "role": file.role,
                "format": file.format,
                "rows_in": file.rows_in,
                "rows_kept": rows_kept,
                "rows_quarantined": own.height,
                "rows_duplicate": counted(own).get(DUPLICATE, 0),
                "rows_merged": file.rows_in - file.rows_erased - rows_kept - own.height,
                "rows_erased": file.rows_erased,
                "blank_lines": file.blank_lines,
                "reasons": reasons,
            }
        )
    return entries
