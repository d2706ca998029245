"""Students and responses that were erased: their rows are left out as soon as they are read, overrides among them."""

from dataclasses import replace

import polars as pl

from components.ingest.erased import counted_out, erased_among
from components.ingest.overrides import is_erased
from components.overrides import Override
from components.secrets import SecretKey
from components.tombstones import Tombstones
from components.writing.ingest.override_files import OverrideFile
from components.writing.ingest.responses import Batch
from components.writing.ingest.source import WritingSource
from components.writing.ingest.texts import as_written

_COLUMNS = ("student", "has_student", "response", "prompt", "text", "file")


def without_erased(source: WritingSource, key: SecretKey, erased: Tombstones) -> WritingSource:
    """Return the source without the responses of erased students; each file says how many it had.

    An override that names neither student nor response is left out where its text is one that only they wrote.
    """
    if not erased.of_key.get(key.id):
        return source
    rows = pl.concat([b.responses.select(_COLUMNS) for b in source.batches])
    students = erased_among(rows.filter("has_student")["student"], key, erased, "student", "student")
    # A response of nobody in particular has its own pseudonym for a student's.
    alone = erased_among(rows.filter(~pl.col("has_student"))["response"], key, erased, "student", "response")
    responses = erased_among(rows["response"], key, erased, "response", "response")
    is_theirs = (
        (pl.col("has_student") & pl.col("student").is_in(students))
        | (~pl.col("has_student") & pl.col("response").is_in(alone))
        | pl.col("response").is_in(responses)
    )
    gone, kept = rows.filter(is_theirs), rows.filter(~is_theirs)
    lost = gone.filter("has_student")["student"].unique().to_list()
    batches = [_without(batch, is_theirs, lost) for batch in source.batches]
    files = counted_out(source.files, gone["file"])
    if source.overrides is None:
        return replace(source, batches=batches, files=files)
    texts = (
        gone.select("prompt", "text").unique().join(kept.select("prompt", "text"), on=["prompt", "text"], how="anti")
    )
    own = set(texts.iter_rows())
    left = [one for one in source.overrides.overrides if not _is_theirs(one, key, erased, own)]
    dropped = pl.Series([source.overrides.index] * (len(source.overrides.overrides) - len(left)), dtype=pl.UInt16)
    overrides: OverrideFile = replace(source.overrides, overrides=tuple(left))
    return replace(source, batches=batches, files=counted_out(files, dropped), overrides=overrides)


def _without(batch: Batch, is_theirs: pl.Expr, students: list[str]) -> Batch:
    groups = batch.groups
    return replace(
        batch,
        responses=batch.responses.filter(~is_theirs),
        groups=groups.filter(~pl.col("student").is_in(students)) if groups.width else groups,
    )


def _is_theirs(one: Override, key: SecretKey, erased: Tombstones, texts: set[tuple[str, str]]) -> bool:
    if one.pseudonym_key_id is not None and is_erased(one, erased):
        return True
    if one.student is not None or not texts:
        return False
    return (one.prompt, as_written(pl.Series([one.text]))[0]) in texts
