"""The ingest report: what came in, what was kept, merged and set apart, by file and reason; no places, no people."""

from collections.abc import Sequence

import polars as pl

from components.artifacts import JsonValue
from components.ingest.assembly import Cleaned, Tables
from components.ingest.faults import DUPLICATE
from components.ingest.file_counts import file_counts
from components.ingest.files import FileCount
from components.ingest.quarantine import counted


def report(
    files: Sequence[FileCount], clean: Cleaned, made: Tables, layout: str, protocol: str
) -> dict[str, JsonValue]:
    """Return the report: everywhere rows_in = rows_kept + rows_quarantined + rows_merged + rows_erased.

    Of the rows in quarantine, `rows_duplicate` were delivered before and do not count towards the limit. Of the rows
    kept, `possible_duplicates` are the same as another; null where the source names neither times nor items. Students
    with one answer stay: it counts for what their group or problem is like, and nothing can be predicted from it.
    """
    all_reasons: dict[str, JsonValue] = {**counted(clean.quarantine)}
    conflicting: dict[str, JsonValue] = {**made.conflicting}
    return {
        "format": 1,
        "layout": layout,
        "protocol": protocol,
        "rows_in": sum(file.rows_in for file in files),
        "rows_kept": clean.answers.height,
        "rows_quarantined": clean.quarantine.height,
        "rows_duplicate": counted(clean.quarantine).get(DUPLICATE, 0),
        "rows_merged": clean.merged,
        "rows_erased": sum(file.rows_erased for file in files),
        "possible_duplicates": clean.possible_duplicates,
        "reasons": all_reasons,
        "students": made.students.height,
        "students_with_one_answer": students_with_one_answer(made),
        "students_in_test_files": int((made.students["declared_split"] == "test").sum()),
        "students_in_valid_files": int((made.students["declared_split"] == "valid").sum()),
        "students_with_conflicting_groups": conflicting,
        "time": _time_range(made.interactions["time_ms"]),
        "files": file_counts(files, clean.answers["file"], clean.quarantine),
    }


def _time_range(times: pl.Series) -> JsonValue:
    first, last = times.min(), times.max()
    if not isinstance(first, int) or not isinstance(last, int):
        return None
    return {"first_ms": first, "last_ms": last}


def students_with_one_answer(made: Tables) -> int:
    """Return how many students have a single answer."""
    return int((made.interactions.group_by("student").len()["len"] == 1).sum())
