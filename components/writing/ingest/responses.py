"""Responses: a block of a source table read into the schema's types, the rows that could not be, and the groups."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from components.ingest.faults import Fault, parted
from components.ingest.files import RawFile
from components.ingest.readings import as_decimal, as_text, is_given
from components.writing.ingest.config import SPLIT_WORDS, WritingIngestConfig, WritingMapping
from components.writing.ingest.texts import as_written, with_null_bytes
from components.writing.schema import RATER, TRAIT

LONGEST_NAME_BYTES = 1000
"""A longer id or group is a misplaced text."""
LARGEST_SCORE = 1e6
"""No rubric goes beyond this; a larger number is a misplaced id, and steps of a scale would be lost beside it."""
ONLY_PROMPT = "1"
"""Id of the prompt where the source names none."""

FIXED_SCHEMA = {
    "response": pl.String,
    "is_named": pl.Boolean,
    "student": pl.String,
    "has_student": pl.Boolean,
    "prompt": pl.String,
    "text": pl.String,
    "score": pl.Float64,
    "rater": pl.String,
    "declared_split": pl.String,
    "file": pl.UInt16,
    "row": pl.UInt32,
}
"""Rows between reading and assembling, with the columns of raters and traits beside these: ids still raw. `is_named`
says whether the source names the response, `has_student` whether it names a student."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptFacts:
    """What a source tells of a prompt beside the responses to it."""

    prompt: str
    text: str | None
    reference_answers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What a layout made of some rows of a file."""

    responses: pl.DataFrame
    """In `FIXED_SCHEMA`, and a Float64 column per rater and trait."""
    quarantine: pl.DataFrame
    groups: pl.DataFrame
    """`student` (raw) and one String column per group attribute, without repeats; no columns where there are none."""
    ids: pl.Series
    """Raw ids of all responses that were read, those in quarantine too."""
    rows_in: int
    """Rows read, blank lines not counted: those of `responses` and of `quarantine`."""
    rows_unreadable: int = 0
    """Of these, the ones that could not be taken apart."""
    blank_lines: int = 0
    repaired_lines: int = 0
    null_bytes: int = 0
    """Texts with a NUL in them, which is left out."""
    prompts: tuple[PromptFacts, ...] = field(default=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """A block of a table after reading."""

    responses: pl.DataFrame
    quarantine: pl.DataFrame
    groups: pl.DataFrame
    ids: pl.Series
    null_bytes: int


def read_responses(
    frame: pl.DataFrame,
    mapping: WritingMapping,
    groups: Mapping[str, str],
    file: RawFile,
    labels: Sequence[str],
    config: WritingIngestConfig,
) -> Typed:
    """Return responses, quarantine, groups and ids of a block.

    Args:
        frame: the source's columns and `row`.
        mapping: which of them holds what.
        groups: source column -> name of the group attribute.
        file: where they stand.
        labels: names of the grades, the lowest first; empty where scores are numbers.
        config: how they are read.
    """
    read: dict[str, pl.Series | pl.Expr] = {}
    faults: list[Fault] = []
    ids = _names(frame, mapping, file, read, faults)
    cells = frame[mapping.text]
    read["text"] = as_written(cells)
    faults += [
        Fault(column=mapping.text, reason="text_missing", is_at_fault=pl.col("text").is_null()),
        Fault(
            column=mapping.text,
            reason="text_over_the_limit",
            is_at_fault=pl.col("text").str.len_chars() > config.longest_text_chars,
        ),
    ]
    _scores(frame, mapping, labels, config, read, faults)
    _split(frame, mapping, file, read, faults)
    for source, name in groups.items():
        read[f"group {name}"] = as_text(frame[source])
        faults.append(_too_long(f"group {name}", source))
    placed = frame.select(pl.lit(file.index, pl.UInt16).alias("file"), "row")
    typed = placed.with_columns(values.alias(name) for name, values in read.items())
    kept, quarantine = parted(typed, faults)
    measured = [c for c in kept.columns if c.startswith((RATER, TRAIT))]
    responses = kept.select(
        *(pl.col(n).cast(t) if n in kept.columns else pl.lit(None, t).alias(n) for n, t in FIXED_SCHEMA.items()),
        *measured,
    )
    attributes = pl.DataFrame()
    if groups:
        attributes = kept.select("student", *(pl.col(f"group {n}").alias(n) for n in groups.values())).unique()
    return Typed(
        responses=responses,
        quarantine=quarantine,
        groups=attributes,
        ids=ids.drop_nulls(),
        null_bytes=with_null_bytes(cells),
    )


def _names(
    frame: pl.DataFrame,
    mapping: WritingMapping,
    file: RawFile,
    read: dict[str, pl.Series | pl.Expr],
    faults: list[Fault],
) -> pl.Series:
    """Read ids; return the source's own of the responses."""
    for target, source in (
        ("response", mapping.response),
        ("student", mapping.student),
        ("prompt", mapping.prompt),
        ("rater", mapping.rater),
    ):
        if source is None:
            continue
        read[target] = as_text(frame[source])
        faults += [
            Fault(column=source, reason=f"{target}_missing", is_at_fault=pl.col(target).is_null()),
            _too_long(target, source),
        ]
        if target != "rater":  # the name of a rater goes nowhere
            lost = pl.col(target).str.contains("\ufffd", literal=True)
            faults.append(Fault(column=source, reason="character_lost", is_at_fault=lost))
    read["is_named"] = pl.lit(mapping.response is not None)
    read["has_student"] = pl.lit(mapping.student is not None)
    if mapping.response is None:
        read["response"] = pl.Series([f"{file.digest}:{row}" for row in frame["row"]], dtype=pl.String)
    read.setdefault("student", read["response"])
    read.setdefault("prompt", pl.lit(ONLY_PROMPT))
    return as_text(frame[mapping.response]) if mapping.response is not None else pl.Series(dtype=pl.String)


def _scores(
    frame: pl.DataFrame,
    mapping: WritingMapping,
    labels: Sequence[str],
    config: WritingIngestConfig,
    read: dict[str, pl.Series | pl.Expr],
    faults: list[Fault],
) -> None:
    """Read scores, raters' scores and traits."""

    def take(target: str, source: str, reason: str) -> None:
        cells = frame[source]
        values = _as_score(cells, labels if not target.startswith(TRAIT) else (), has_comma=mapping.decimal_comma)
        read[target] = values
        if values.null_count() > cells.null_count() or cells.dtype.is_float():
            faults.append(Fault(column=source, reason=reason, is_at_fault=pl.lit(values.is_null() & is_given(cells))))

    unreadable = "label_unknown" if labels else "score_not_a_number"
    if mapping.score is not None:
        take("score", mapping.score, unreadable)
    for number, source in enumerate(mapping.raters, 1):
        take(f"{RATER}{number}", source, "label_unknown" if labels else "rater_score_not_a_number")
    for name, source in mapping.traits.items():
        take(TRAIT + name, source, "trait_not_a_number")
    if not config.needs_scores or not mapping.has_scores:
        return
    given = [mapping.score] if mapping.score is not None else [*mapping.raters]
    targets = ["score"] if mapping.score is not None else [f"{RATER}{n}" for n in range(1, len(given) + 1)]
    nothing = pl.all_horizontal(pl.col(target).is_null() for target in targets)
    faults.append(Fault(column=given[0], reason="score_missing", is_at_fault=nothing))


def _as_score(cells: pl.Series, labels: Sequence[str], *, has_comma: bool) -> pl.Series:
    """Return Float64: a number, or the place of a label; null for an empty cell, another text, or far too much."""
    if not labels:
        number = as_decimal(cells, has_comma=has_comma)
        return number.set(number.abs() > LARGEST_SCORE, None)
    places = {label.strip().lower(): float(place) for place, label in enumerate(labels)}
    return as_text(cells).str.to_lowercase().replace_strict(places, default=None, return_dtype=pl.Float64)


def _split(
    frame: pl.DataFrame,
    mapping: WritingMapping,
    file: RawFile,
    read: dict[str, pl.Series | pl.Expr],
    faults: list[Fault],
) -> None:
    """Read what the responses are for; the role that a file was given for stands above its own column."""
    of_file = None if file.role == "any" else file.role
    read["declared_split"] = pl.lit(of_file, pl.String)
    if mapping.split is None:
        return
    said = as_text(frame[mapping.split])
    if mapping.split_values:
        means = said.replace_strict({**mapping.split_values}, default="train", return_dtype=pl.String)
        split = means.set(said.is_null(), None)
    else:
        split = said.str.to_lowercase().replace_strict({**SPLIT_WORDS}, default=None, return_dtype=pl.String)
        unknown = pl.lit(split.is_null() & said.is_not_null())
        faults.append(Fault(column=mapping.split, reason="split_unknown", is_at_fault=unknown))
    if of_file is None:
        read["declared_split"] = split
    else:
        differs = pl.lit((split != of_file).fill_null(False))
        faults.append(Fault(column=mapping.split, reason="split_differs_from_file", is_at_fault=differs))


def _too_long(target: str, source: str) -> Fault:
    at_fault = pl.col(target).str.len_bytes() > LONGEST_NAME_BYTES
    return Fault(column=source, reason="name_too_long", is_at_fault=at_fault)
