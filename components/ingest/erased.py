"""Students who were erased: their rows are left out as soon as they are read, and counted, not listed."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import polars as pl

from components.ingest.answers import Batch
from components.ingest.files import FileCount
from components.ingest.source import Source
from components.pseudonyms import pseudonyms
from components.secrets import SecretKey
from components.tombstones import Kind, Tombstones


def erased_among(raw_ids: pl.Series, key: SecretKey, erased: Tombstones, kind: Kind, of: Kind) -> list[str]:
    """Return those of the raw ids that have a tombstone.

    Args:
        raw_ids: as the source has them.
        key: of the pseudonyms.
        erased: the tombstones.
        kind: what the tombstone is for.
        of: what the ids are of, from which their pseudonyms are made.
    """
    if not erased.of_key.get(key.id):
        return []
    names = raw_ids.drop_nulls().unique().to_list()
    made = pseudonyms(key, names, of)
    found = erased.erased(key.id, made, kind)
    return [name for name, pseudonym in zip(names, made, strict=True) if pseudonym in found]


def without_erased(source: Source, key: SecretKey, erased: Tombstones) -> Source:
    """Return the source without the answers of erased students; each file says how many it had."""
    if not erased.of_key.get(key.id):
        return source
    gone = erased_among(pl.concat([b.answers["student"] for b in source.batches]), key, erased, "student", "student")
    left_out = pl.concat(
        [b.answers.filter(pl.col("student").is_in(gone)).select("file") for b in source.batches]
    ).to_series()
    batches = [_without(batch, gone) for batch in source.batches]
    return replace(source, batches=batches, files=counted_out(source.files, left_out))


def _without(batch: Batch, gone: Sequence[str]) -> Batch:
    groups = batch.groups
    return replace(
        batch,
        answers=batch.answers.filter(~pl.col("student").is_in(gone)),
        groups=groups.filter(~pl.col("student").is_in(gone)) if groups.width else groups,
    )


def counted_out(files: Sequence[FileCount], left_out: pl.Series) -> list[FileCount]:
    """Return the counts with the rows that were left out; `left_out` has the file of each."""
    return [replace(f, rows_erased=f.rows_erased + int((left_out == f.index).sum())) for f in files]


def said_of_erased(files: Sequence[FileCount], of_other_keys: int, say: Callable[[str], None]) -> int:
    """Say how many rows were left out, and what cannot be applied; return the rows."""
    rows = sum(file.rows_erased for file in files)
    if rows:
        say(f"{rows} rows of erased students left out")
    if of_other_keys:
        say(
            f"warning: {of_other_keys} tombstone(s) of erased students were made with another pseudonym key and cannot "
            "be applied with this one; erase these students again (`homeroom erase`), or use the key of then"
        )
    return rows
