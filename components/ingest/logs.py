"""Raw files -> the schema's tables, the quarantine and the report, all in memory; the stage only publishes them."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from components.artifacts import JsonValue, RawFiles
from components.errors import SchemaError
from components.ingest.assembly import Cleaned, Tables, cleaned, tables
from components.ingest.config import IngestConfig
from components.ingest.erased import said_of_erased, without_erased
from components.ingest.identities import check_identities
from components.ingest.layouts.layout import Layout
from components.ingest.quarantine import check_limit, counted
from components.ingest.report import report
from components.ingest.source import read_files
from components.secrets import SecretKey
from components.tombstones import NONE, Tombstones

MOST_FILES = 1 << 16
"""What the schema's file index can tell apart."""
AS_GIVEN = "row_as_given"
"""Name of the protocol where the source has no problem ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Logs:
    """What ingest publishes, before it is written."""

    layout: Layout
    clean: Cleaned
    made: Tables
    items: int
    protocol: str
    report: dict[str, JsonValue]


def read_logs(
    raw: RawFiles,
    config: IngestConfig,
    scratch: Path,
    key: SecretKey,
    say: Callable[[str], None] = lambda line: None,
    erased: Tombstones = NONE,
) -> Logs:
    """Return the tables of the answers in `raw`.

    Args:
        raw: the files.
        config: how they are read.
        scratch: folder for unpacked copies.
        key: of the pseudonyms.
        say: shows one line of progress.
        erased: students to leave out.

    Raises:
        SchemaError: files in no known layout, in several, cut short, without usable rows, or with a column that would
            publish who a student is.
        QuarantineLimitError: more rows are unusable than the configuration allows.
        DigestMismatchError: a file changed since it was collected.
    """
    if len(raw.uris) > MOST_FILES:
        raise SchemaError(f"{len(raw.uris)} files in one run; at most {MOST_FILES} fit the schema. Join some of them.")
    source = read_files(raw, config, scratch)
    rows_in = sum(f.rows_in for f in source.files)
    if not rows_in:
        raise SchemaError(
            f"The {len(raw.uris)} file(s) hold no rows below their headers; expected answers. Check what was delivered."
        )
    source = without_erased(source, key, erased)
    rows_erased = said_of_erased(source.files, erased.of_other_keys(key.id), say)
    held = {f.index: f.role for f in source.files if f.role != "any"}
    groups = [b.groups for b in source.batches]
    clean = cleaned(source.batches, source.layout, config.protocol, held, config.latest_ms())
    source.batches.clear()  # their rows are in `clean` now; twice would double the memory
    check_limit(counted(clean.quarantine), rows_in - rows_erased, config.quarantine_limit)
    if not clean.answers.height:
        reasons = ", ".join(f"{reason} {count}" for reason, count in counted(clean.quarantine).items())
        raise SchemaError(f"None of the {rows_in} rows is usable ({reasons}); expected answers. Correct the source.")
    published = {"item": None, "skills": source.layout.skill_separator}
    check_identities(clean.answers, groups, published, source.layout.source_column)
    made = tables(clean.answers, groups, source.layout.skill_separator, held, key)
    items = int(made.interactions["item"].drop_nulls().n_unique())
    # Without problem ids nobody can tell which rows are one problem: the name says so wherever figures stand.
    protocol = config.protocol if items else AS_GIVEN
    summary = report(source.files, clean, made, source.layout.name, protocol)
    duplicates = f", {summary['rows_duplicate']} of them delivered before" if summary["rows_duplicate"] else ""
    say(
        f"{rows_in} rows of {len(raw.uris)} file(s) in layout {source.layout.name}: {clean.answers.height} kept, "
        f"{clean.merged} merged, {clean.quarantine.height} in quarantine{duplicates}"
    )
    if alone := summary["students_with_one_answer"]:
        say(
            f"{alone} of {made.students.height} students have one answer only: they are kept and counted, but with no "
            "answer before it nothing is predicted for them"
        )
    if ahead := said_of_future(made.interactions["time_ms"], datetime.now(UTC)):
        say(ahead)
    return Logs(layout=source.layout, clean=clean, made=made, items=items, protocol=protocol, report=summary)


def said_of_future(times: pl.Series, now: datetime) -> str | None:
    """Return a warning where answers lie more than a day ahead of the clock, or None.

    The clock only warns: what is kept must not depend on the day of the run, so only `ingest.latest_time` sets apart.

    Args:
        times: Int64 milliseconds since 1970, or since another origin; these are far below the clock.
        now: the clock.
    """
    tomorrow = now + timedelta(days=1)
    ahead = times.filter(times > round(tomorrow.timestamp() * 1000))
    if not len(ahead):
        return None
    return (
        f"warning: {len(ahead)} of {len(times)} answers are dated in the future (after {tomorrow:%Y-%m-%d %H:%M} UTC) "
        "and were kept; check time_unit and the source's clock, or set them apart with "
        f'--set ingest.latest_time="{now:%Y-%m-%d}"'
    )
