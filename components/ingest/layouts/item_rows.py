"""The layout `item_rows`: user_id, item_id, timestamp (s), correct, skill_id (one id per combination of skills)."""

import polars as pl

from components.ingest.config import ColumnMapping
from components.ingest.heads import Head
from components.ingest.layouts.layout import TableLayout

COLUMNS = ("user_id", "item_id", "timestamp", "correct", "skill_id")


class ItemRows(TableLayout):
    """One row per answer, as the learner-performance-prediction repository prepares several public data sets."""

    name = "item_rows"

    def recognise(self, head: Head) -> bool:
        """Return whether all five columns are there."""
        return set(COLUMNS) <= set(head.columns)

    def mapping(self, columns: tuple[str, ...]) -> ColumnMapping:
        """Return the fixed mapping."""
        return ColumnMapping(
            student="user_id", item="item_id", skills="skill_id", correct="correct", time="timestamp", time_unit="s"
        )

    def settle(self, answers: pl.DataFrame) -> pl.DataFrame:
        """Return the answers without times where all are zero, which is how these files say that there are none."""
        if (answers["time_ms"] == 0).all():
            return answers.with_columns(pl.lit(None, pl.Int64).alias("time_ms"))
        return answers
