"""The source of a run: all its files read, in the order of `RawFiles`, in the one layout that they have."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import polars as pl

from components.artifacts import RawFiles
from components.errors import SchemaError
from components.ingest.files import FileCount, RawFile, raw_file
from components.ingest.heads import Head, read_head
from components.ingest.overrides import ROLE
from components.writing.ingest.config import WritingIngestConfig
from components.writing.ingest.id_lists import IdList, is_id_list, read_id_list
from components.writing.ingest.layouts.layout import WritingLayout
from components.writing.ingest.override_files import OverrideFile, read_override_file
from components.writing.ingest.recognition import LAYOUTS, is_found, layout_if_known
from components.writing.ingest.responses import Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class WritingSource:
    """What was read."""

    layout: WritingLayout
    batches: list[Batch]
    """Of all files, in the order of files and rows."""
    lists: list[IdList]
    overrides: OverrideFile | None
    files: list[FileCount]


def read_files(raw: RawFiles, config: WritingIngestConfig, scratch: Path) -> WritingSource:
    """Return the responses of all files, and the lists of ids among them; one file at a time is unpacked.

    Raises:
        SchemaError: a file cannot be read, or the files are not in one known layout; all of the latter listed.
    """
    batches: list[Batch] = []
    lists: list[int] = []
    counts: dict[int, FileCount] = {}
    layout: WritingLayout | None = None
    overrides: OverrideFile | None = None
    for index in range(len(raw.uris)):
        with raw_file(raw, index, scratch) as file:
            if file.role == ROLE:
                overrides = read_override_file(file)
                counts[index] = _count(file, ROLE, (), rows=len(overrides.overrides))
                continue
            own_config = replace(config, encoding="utf-8") if file.has_mark else config
            head = read_head(file, own_config.encoding)
            if is_id_list(head, config.mapping.text if config.mapping else None):
                lists.append(index)
                continue
            own = layout_if_known(config, head)
            if own is None or (layout is not None and own.name != layout.name):
                _refuse(raw, config, scratch)
            layout = layout or own
            counts[index] = _read(own, file, head, own_config, batches)
    if layout is None:
        raise SchemaError(
            f"The {len(raw.uris)} file(s) hold lists of ids at most; expected at least one table with texts. Name the "
            "files with the responses."
        )
    found: list[IdList] = []
    for index in lists:
        with raw_file(raw, index, scratch) as file:
            one, blank_lines = read_id_list(file, layout.source_column("response"))
            found.append(one)
            counts[index] = _count(file, "ids", (), blank_lines=blank_lines)
    files = [counts[i] for i in sorted(counts)]
    return WritingSource(layout=layout, batches=batches, lists=found, overrides=overrides, files=files)


def _read(
    layout: WritingLayout, file: RawFile, head: Head, config: WritingIngestConfig, batches: list[Batch]
) -> FileCount:
    """Read one file into `batches`."""
    first = len(batches)
    try:
        batches.extend(layout.read(file, head, config))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        # polars quotes cells in its messages, so neither they nor the chain may be shown
        raise SchemaError(
            f"{file.name} could not be read as {layout.name}: {type(error).__name__}. Check the file, or name "
            "its layout or mapping in the configuration."
        ) from None
    return _count(file, head.format, batches[first:])


def _count(file: RawFile, kind: str, batches: Iterable[Batch], *, rows: int = 0, blank_lines: int = 0) -> FileCount:
    own = list(batches)
    return FileCount(
        index=file.index,
        digest=file.digest,
        role=file.role,
        format=kind,
        rows_in=sum(batch.rows_in for batch in own) + rows,
        blank_lines=sum(batch.blank_lines for batch in own) + blank_lines,
    )


def _refuse(raw: RawFiles, config: WritingIngestConfig, scratch: Path) -> NoReturn:
    """Raise what is wrong with the layouts of the files, after a look at the head of every one."""
    names: list[str] = []
    heads: list[Head] = []
    for index in range(len(raw.uris)):
        if raw.roles[index] == ROLE:
            continue
        with raw_file(raw, index, scratch) as file:
            head = read_head(file, "utf-8" if file.has_mark else config.encoding)
            if not is_id_list(head, None):
                names.append(file.name)
                heads.append(head)
    if not is_found(config):
        raise AssertionError("a file in the layout configured was refused")  # our own mistake
    LAYOUTS.one_of(names, heads)
    raise AssertionError("files in one known layout were refused")  # our own mistake
