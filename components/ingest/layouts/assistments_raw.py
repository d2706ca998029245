"""The layout `assistments_raw`: the ASSISTments 2009-2010 skill builder export, one row per answer and skill."""

import polars as pl

from components.ingest.config import ColumnMapping
from components.ingest.heads import Head
from components.ingest.layouts.layout import Merging, TableLayout

NEEDED = (
    "order_id",
    "user_id",
    "problem_id",
    "correct",
    "attempt_count",
    "ms_first_response",
    "skill_id",
    "skill_name",
)


class AssistmentsRaw(TableLayout):
    """The export has no clock time: `order_id` gives the order, and rows that share it are one answer.

    `attempt_count` counts all attempts of a visit to a problem while `correct` judges the first, so it is not the
    schema's `attempt` and is left out. A skill without a name is called by its id, e.g. `skill 104`.
    """

    name = "assistments_raw"
    fallback_encoding = "latin-1"

    def recognise(self, head: Head) -> bool:
        """Return whether the export's columns are there."""
        return set(NEEDED) <= set(head.columns)

    def merging(self) -> Merging:
        """Return `order`."""
        return "order"

    def mapping(self, columns: tuple[str, ...]) -> ColumnMapping:
        """Return the fixed mapping."""
        return ColumnMapping(
            student="user_id",
            item="problem_id",
            skills="skill",
            correct="correct",
            response_time="ms_first_response",
            order="order_id",
        )

    def extra_columns(self) -> tuple[str, ...]:
        """Return the two columns that name the skill."""
        return ("skill_id", "skill_name")

    def made_columns(self) -> tuple[str, ...]:
        """Return `skill`."""
        return ("skill",)

    def prepare(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Return the block with `skill`: the name, else the id, else null."""
        name, number = (pl.col(c).cast(pl.String).str.strip_chars() for c in ("skill_name", "skill_id"))
        named = pl.when(name != "").then(name)
        numbered = pl.when(number != "").then(pl.lit("skill ") + number)
        return frame.with_columns(pl.coalesce(named, numbered).alias("skill"))
