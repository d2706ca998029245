"""The ingest report: what came in, what was kept, merged and set apart, by file and reason; no texts, no people."""

from collections.abc import Mapping, Sequence

import polars as pl

from components.artifacts import JsonValue
from components.ingest.faults import DUPLICATE
from components.ingest.file_counts import file_counts
from components.ingest.files import FileCount
from components.ingest.quarantine import counted
from components.writing.ingest.assembly import Cleaned, Tables
from components.writing.ingest.overriding import Overridden
from components.writing.ingest.texts import odd_texts, repeated_texts
from components.writing.schema import SPLITS


def report(
    files: Sequence[FileCount],
    clean: Cleaned,
    made: Tables,
    layout: str,
    protocol: str,
    read: Mapping[str, int],
    overridden: Overridden | None = None,
) -> dict[str, JsonValue]:
    """Return the report: everywhere rows_in = rows_kept + rows_quarantined + rows_merged + rows_erased.

    `texts` counts what is odd about the texts that were kept; they are kept as they are.

    Args:
        files: what was read of each.
        clean: what is kept, ids raw.
        made: what is published.
        layout: name of the files' layout.
        protocol: what a row is.
        read: what was counted while reading, for `texts`.
        overridden: what became of teachers' overrides; they count as rows, merged where they gave a response its score.
    """
    rows_in = sum(file.rows_in for file in files)
    rows_erased = sum(file.rows_erased for file in files)
    reasons_of_all: dict[str, JsonValue] = {**counted(clean.quarantine)}
    conflicting: dict[str, JsonValue] = {**made.conflicting}
    splits = made.responses["declared_split"]
    texts: dict[str, JsonValue] = {
        **read,
        **odd_texts(made.responses["text"]),
        "repeated": repeated_texts(made.responses),
        "in_several_splits": _in_several_splits(made.responses),
    }
    return {
        "format": 1,
        "layout": layout,
        "protocol": protocol,
        "rows_in": rows_in,
        "rows_kept": clean.responses.height,
        "rows_quarantined": clean.quarantine.height,
        "rows_duplicate": counted(clean.quarantine).get(DUPLICATE, 0),
        "rows_merged": rows_in - rows_erased - clean.responses.height - clean.quarantine.height,
        "rows_erased": rows_erased,
        "reasons": reasons_of_all,
        "responses_scored": made.responses.height - made.responses["score"].null_count(),
        "responses_declared": {**{name: int((splits == name).sum()) for name in SPLITS}, "none": splits.null_count()},
        "students": made.students.height,
        "students_in_several_splits": made.several_splits,
        "students_with_conflicting_groups": conflicting,
        "texts": texts,
        "overrides": overridden.to_json() if overridden is not None else None,
        "files": file_counts(files, clean.responses["file"], clean.quarantine),
    }


def _in_several_splits(responses: pl.DataFrame) -> int:
    """Return how many different texts stand, for the same prompt, in responses declared for different splits."""
    splits = responses.group_by("prompt", "text").agg(pl.col("declared_split").n_unique().alias("splits"))
    return int((splits["splits"] > 1).sum())
