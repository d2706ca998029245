"""Attributes: each student's groups, from all rows that name some."""

from collections.abc import Sequence

import polars as pl


def attributes(groups: Sequence[pl.DataFrame]) -> tuple[pl.DataFrame | None, dict[str, int]]:
    """Return one row per (raw) student with each attribute's only value, and how many students have several.

    Args:
        groups: `student` and one column per attribute; those without columns are left out.
    """
    given = [g for g in groups if g.width]
    if not given:
        return None, {}
    names = sorted({c for g in given for c in g.columns if c != "student"})
    values = (
        pl.concat(given, how="diagonal")
        .group_by("student")
        .agg(*(pl.col(n).drop_nulls().unique().alias(n) for n in names))
    )
    conflicting = {n: int(values.select((pl.col(n).list.len() > 1).sum()).item()) for n in names}
    single = values.select(
        "student", *(pl.when(pl.col(n).list.len() == 1).then(pl.col(n).list.first()).alias(n) for n in names)
    )
    return single, conflicting
