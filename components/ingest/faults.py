"""Faults: what makes a row unusable, and how such rows part from the others, each with its first fault."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

DUPLICATE = "duplicate_row"
"""Reason of a row that was delivered before: no loss, and not counted towards the limit."""
QUARANTINE_SCHEMA = pl.Schema({"file": pl.UInt16, "row": pl.UInt32, "column": pl.String, "reason": pl.String})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way for a row to be unusable."""

    column: str | None
    """The source's column at fault."""
    reason: str
    is_at_fault: pl.Expr


def parted(frame: pl.DataFrame, faults: Sequence[Fault]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the rows without a fault, and the others as quarantine (file, row, column, reason of the first fault)."""
    if not faults or not frame.height:
        return frame, pl.DataFrame(schema=QUARANTINE_SCHEMA)
    first = pl.coalesce(pl.when(f.is_at_fault).then(pl.lit(number, pl.Int16)) for number, f in enumerate(faults)).alias(
        "fault"
    )
    numbers = frame.with_columns(first)["fault"]  # not select: a fault may be one value for all rows
    if numbers.null_count() == frame.height:
        return frame, pl.DataFrame(schema=QUARANTINE_SCHEMA)
    columns = pl.Series([f.column for f in faults], dtype=pl.String)
    reasons = pl.Series([f.reason for f in faults], dtype=pl.String)
    bad = frame.select("file", "row").filter(numbers.is_not_null())
    number = numbers.drop_nulls()
    return frame.filter(numbers.is_null()), bad.with_columns(
        columns.gather(number).alias("column"), reasons.gather(number).alias("reason")
    )


def unreadable(frame: pl.DataFrame, file: int) -> pl.DataFrame:
    """Return quarantine for records (`row`, `reason`) that could not be taken apart."""
    return frame.select(pl.lit(file, pl.UInt16).alias("file"), "row", pl.lit(None, pl.String).alias("column"), "reason")
