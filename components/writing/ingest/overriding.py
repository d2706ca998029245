"""Teachers' overrides among the responses: a known response gets the teacher's score, another text a row of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from components.artifacts import JsonValue
from components.errors import SchemaError
from components.ingest.faults import QUARANTINE_SCHEMA, Fault, parted
from components.overrides import Override
from components.pseudonyms import pseudonyms
from components.secrets import SecretKey
from components.writing.ingest.assembly import OWN_RESPONSE, OWN_STUDENT, Cleaned
from components.writing.ingest.config import Rubric, WritingIngestConfig
from components.writing.ingest.override_files import OverrideFile
from components.writing.ingest.rubrics import outside
from components.writing.ingest.texts import as_written

_SCHEMA = {
    OWN_RESPONSE: pl.String,
    OWN_STUDENT: pl.String,
    "prompt": pl.String,
    "text": pl.String,
    "score": pl.Float64,
    "response": pl.String,
    "file": pl.UInt16,
    "row": pl.UInt32,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Overridden:
    """What became of the overrides."""

    given: int
    replaced: int
    """Responses of the source that have a teacher's score now."""
    added: int
    """Responses that only overrides know."""
    superseded: int
    """Overrides of what the teacher, or another, overrode again later."""
    set_apart: int
    """Overrides in quarantine."""
    digest: str

    @property
    def used(self) -> int:
        """Responses with a teacher's score."""
        return self.replaced + self.added

    def to_json(self) -> dict[str, JsonValue]:
        """Return the counts for the report."""
        return {
            "sha256": self.digest,
            "given": self.given,
            "responses_replaced": self.replaced,
            "responses_added": self.added,
            "superseded": self.superseded,
            "set_apart": self.set_apart,
        }


def with_overrides(
    clean: Cleaned,
    file: OverrideFile,
    key: SecretKey,
    rubrics: Mapping[str, Rubric],
    config: WritingIngestConfig,
) -> tuple[Cleaned, Overridden]:
    """Return the responses with the teachers' scores in them, and what became of each override.

    A response is known by its id, or else by its prompt and very text (and the student, where both name one). Of
    several overrides of the same, the latest counts. Raters' scores stay what they are.

    Raises:
        SchemaError: pseudonyms were made with another key.
    """
    _check_key(file.overrides, key)
    rows, apart = _usable(_frame(file), clean.responses, rubrics, config)
    known = clean.responses.select("prompt", "text", "student", "has_student").with_row_index("at")
    has_ids = bool(rows[OWN_RESPONSE].is_not_null().any() or rows[OWN_STUDENT].is_not_null().any())
    if has_ids:  # HMACs of every row are worth making only then
        known = known.with_columns(
            pl.Series(
                OWN_RESPONSE, pseudonyms(key, clean.responses["response"].to_list(), "response"), dtype=pl.String
            ),
            pl.Series(OWN_STUDENT, pseudonyms(key, known["student"].to_list()), dtype=pl.String),
        )
    else:
        known = known.with_columns(
            pl.lit(None, pl.String).alias(OWN_RESPONSE), pl.lit(None, pl.String).alias(OWN_STUDENT)
        )
    targets = _targets(rows, known)
    scores = dict(zip(targets["at"].to_list(), targets["score"].to_list(), strict=True))  # later ones overwrite
    replaced = clean.responses.with_row_index("at").with_columns(
        pl.coalesce(pl.col("at").replace_strict(scores, default=None, return_dtype=pl.Float64), "score").alias("score")
        if scores
        else pl.col("score")
    )
    new = rows.join(targets.select("override").unique(), left_on="row", right_on="override", how="anti")
    added = new.unique(
        subset=[OWN_RESPONSE, OWN_STUDENT, "prompt", "text"], keep="last", maintain_order=True
    )  # rows are in the order of time
    responses = pl.concat(
        [
            replaced.drop("at"),
            added.with_columns(
                pl.lit(True).alias("is_named"),
                pl.col("response").alias("student"),
                pl.lit(False).alias("has_student"),
            ),
        ],
        how="diagonal",
    )
    last_of = targets.group_by("at").agg(pl.col("override").last())["override"].n_unique()
    done = Overridden(
        given=len(file.overrides),
        replaced=len(scores),
        added=added.height,
        superseded=rows.height - last_of - added.height,
        set_apart=apart.height,
        digest=file.digest,
    )
    quarantine = pl.concat([clean.quarantine, apart.cast(QUARANTINE_SCHEMA)]).sort(
        "file", "row", "column", "reason", nulls_last=True
    )
    return replace(clean, responses=responses, quarantine=quarantine), done


def _check_key(overrides: Sequence[Override], key: SecretKey) -> None:
    others = {one.pseudonym_key_id for one in overrides} - {None, key.id}
    if others:
        raise SchemaError(
            f"Overrides name students by pseudonyms of key {', '.join(sorted(str(o) for o in others))}; this run makes "
            f"them with {key.id}, so that nobody would be known again. Serve and train with the same pseudonym key."
        )


def _frame(file: OverrideFile) -> pl.DataFrame:
    """Return the overrides in the order of time; `row` counts them from 1."""
    values = [
        (one.response, one.student, one.prompt, one.text, one.score, f"override:{one.id}", file.index, row)
        for row, one in enumerate(file.overrides, start=1)
    ]
    frame = pl.DataFrame(values, schema=_SCHEMA, orient="row")
    return frame.with_columns(as_written(frame["text"]).alias("text"))


def _usable(
    rows: pl.DataFrame, responses: pl.DataFrame, rubrics: Mapping[str, Rubric], config: WritingIngestConfig
) -> tuple[pl.DataFrame, pl.DataFrame]:
    prompts = pl.concat([responses["prompt"].unique(), pl.Series("prompt", list(rubrics), dtype=pl.String)]).to_list()
    faults = [
        Fault(column="text", reason="text_missing", is_at_fault=pl.col("text").is_null()),
        Fault(
            column="text",
            reason="text_over_the_limit",
            is_at_fault=pl.col("text").str.len_chars() > config.longest_text_chars,
        ),
        Fault(column="prompt", reason="override_prompt_unknown", is_at_fault=~pl.col("prompt").is_in(prompts)),
        *outside(rubrics, (), {"score": "score"}),
    ]
    return parted(rows, faults)


def _targets(rows: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Return which override (`override`, its row) gives which response (`at`) a `score`, in the order of time."""
    by_id = rows.filter(pl.col(OWN_RESPONSE).is_not_null()).join(known, on=[OWN_RESPONSE, "prompt"], how="inner")
    rest = rows.join(by_id.select("row"), on="row", how="anti")
    same_text = rest.join(known, on=["prompt", "text"], how="inner", suffix="_known")
    named = pl.col(OWN_STUDENT).is_not_null() & pl.col("has_student")
    by_text = same_text.filter(~named | (pl.col(OWN_STUDENT) == pl.col(f"{OWN_STUDENT}_known")))
    columns = [pl.col("row").alias("override"), "at", "score"]
    return pl.concat([by_id.select(columns), by_text.select(columns)]).sort("override", "at")
