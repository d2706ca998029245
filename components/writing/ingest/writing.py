"""Raw files -> the schema's tables, the quarantine and the report, all in memory; the stage only publishes them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from components.artifacts import JsonValue, RawFiles
from components.errors import SchemaError
from components.ingest.erased import said_of_erased
from components.ingest.identities import MOST_DIFFERENT_SHARE, check_identities
from components.ingest.quarantine import check_limit, counted
from components.secrets import SecretKey
from components.tombstones import NONE, Tombstones
from components.writing.ingest.assembly import Cleaned, Tables, cleaned, tables
from components.writing.ingest.config import EVERY, WritingIngestConfig
from components.writing.ingest.erased import without_erased
from components.writing.ingest.hints import HINTS
from components.writing.ingest.layouts.layout import WritingLayout
from components.writing.ingest.overriding import Overridden, with_overrides
from components.writing.ingest.prompts import FEW_RESPONSES, prompts_of
from components.writing.ingest.report import report
from components.writing.ingest.rubrics import chosen
from components.writing.ingest.source import read_files

MOST_FILES = 1 << 16
"""What the schema's file index can tell apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """What ingest publishes, before it is written."""

    layout: WritingLayout
    clean: Cleaned
    made: Tables
    prompts: list[JsonValue]
    report: dict[str, JsonValue]
    overridden: Overridden | None
    """What became of teachers' overrides, where some were given."""


def read_writing(
    raw: RawFiles,
    config: WritingIngestConfig,
    scratch: Path,
    key: SecretKey,
    say: Callable[[str], None] = lambda line: None,
    erased: Tombstones = NONE,
) -> Writing:
    """Return the tables of the responses in `raw`.

    Args:
        raw: the files.
        config: how they are read.
        scratch: folder for unpacked copies.
        key: of the pseudonyms.
        say: shows one line of progress.
        erased: students to leave out, and responses.

    Raises:
        SchemaError: files in no known layout, in several, cut short, without usable rows, with lists of ids that do not
            fit them, or with a column that would publish who a student is.
        QuarantineLimitError: more rows are unusable than the configuration allows.
        DigestMismatchError: a file changed since it was collected.
    """
    if len(raw.uris) > MOST_FILES:
        raise SchemaError(f"{len(raw.uris)} files in one run; at most {MOST_FILES} fit the schema. Join some of them.")
    source = read_files(raw, config, scratch)
    rows_in = sum(f.rows_in for f in source.files)
    if not rows_in:
        raise SchemaError(
            f"The {len(raw.uris)} file(s) hold no rows below their headers; expected responses. Check what was "
            "delivered."
        )
    source = without_erased(source, key, erased)
    rows_erased = said_of_erased(source.files, erased.of_other_keys(key.id), say)
    rubrics = chosen(config.prompts, source.layout.rubrics)
    held = {f.index: f.role for f in source.files if f.role in {"valid", "test"} and f.format != "ids"}
    clean = cleaned(source, config.resolve, rubrics, held)
    overridden: Overridden | None = None
    if source.overrides is not None:
        clean, overridden = with_overrides(clean, source.overrides, key, rubrics, config)
    check_limit(counted(clean.quarantine), rows_in - rows_erased, config.quarantine_limit, HINTS)
    if not clean.responses.height:
        reasons = ", ".join(f"{reason} {count}" for reason, count in counted(clean.quarantine).items())
        raise SchemaError(f"None of the {rows_in} rows is usable ({reasons}); expected responses. Correct the source.")
    groups = [b.groups for b in source.batches]
    check_identities(clean.responses, groups, _published(clean), source.layout.source_column)
    made = tables(clean, groups, key)
    facts = [fact for batch in source.batches for fact in batch.prompts]
    labels = config.labels or source.layout.labels
    prompts = prompts_of(made.responses, clean.traits, config.prompts, source.layout.rubrics, labels, facts)
    read = {
        "with_null_bytes": sum(b.null_bytes for b in source.batches),
        "lines_in_fallback_encoding": sum(b.repaired_lines for b in source.batches),
    }
    summary = report(source.files, clean, made, source.layout.name, config.protocol, read, overridden)
    for line in _said(summary, prompts, config, len(raw.uris)):
        say(line)
    return Writing(layout=source.layout, clean=clean, made=made, prompts=prompts, report=summary, overridden=overridden)


def _published(clean: Cleaned) -> dict[str, None]:
    """Return the columns that might be ids of students: prompts only where there are nearly as many of them.

    Student 3 may well answer prompt 3 where a class takes turns, and the few prompts of a set identify nobody.
    """
    prompts, students = (clean.responses[column].n_unique() for column in ("prompt", "student"))
    return {"prompt": None} if prompts > MOST_DIFFERENT_SHARE * students else {}


def _said(
    summary: dict[str, JsonValue], prompts: list[JsonValue], config: WritingIngestConfig, files: int
) -> list[str]:
    """Return the lines of progress: counts only."""
    merged = f", {summary['rows_merged']} merged" if summary["rows_merged"] else ""
    duplicates = f", {summary['rows_duplicate']} of them delivered before" if summary["rows_duplicate"] else ""
    lines = [
        f"{summary['rows_in']} rows of {files} file(s) in layout {summary['layout']}: {summary['rows_kept']} responses "
        f"to {len(prompts)} prompt(s) kept{merged}, {summary['rows_quarantined']} in quarantine{duplicates}"
    ]
    overrides = summary["overrides"]
    if isinstance(overrides, dict):
        lines.append(
            f"{overrides['given']} overrides of teachers: {overrides['responses_replaced']} responses have their "
            f"score, {overrides['responses_added']} were added, {overrides['superseded']} were overridden again, "
            f"{overrides['set_apart']} are in quarantine"
        )
    known = [prompt for prompt in prompts if isinstance(prompt, dict)]
    if few := sum(int(str(p["rows_scored"])) < FEW_RESPONSES for p in known) if config.needs_scores else 0:
        lines.append(
            f"warning: {few} prompt(s) have fewer than {FEW_RESPONSES} scored responses; they were kept, and training "
            "decides about them"
        )
    if guessed := sum(p["range_from"] == "data" for p in known):
        lines.append(
            f"warning: the scale of {guessed} prompt(s) is the lowest and highest score seen; give the rubric's own in "
            "ingest.prompts"
        )
    if absent := len(set(config.prompts) - {EVERY} - {str(p["prompt"]) for p in known}):
        lines.append(f"warning: ingest.prompts names {absent} prompt(s) that no response answers")
    if several := summary["students_in_several_splits"]:
        lines.append(
            f"warning: {several} student(s) have responses declared for different splits; figures on held-out "
            "responses then know the students"
        )
    return lines
