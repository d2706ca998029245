"""Students' values of a group attribute, from the table of students that ingest publishes."""

import polars as pl

from components.errors import ConfigError


def values_of(students: pl.DataFrame, order: pl.Series, by: str, asked: str) -> list[str | None]:
    """Return each student's value of an attribute as text; None where it is not known.

    Args:
        students: the table of students (`components/schema.py`).
        order: the students whose values are wanted, each as often as needed.
        by: the attribute.
        asked: who asks for it, for the message, e.g. `preprocess.reweigh.by is 'gender'`.

    Raises:
        ConfigError: it is none of the table's attributes.
    """
    known = [name for name in students.columns if name not in {"student", "declared_split"}]
    if by not in known:
        raise ConfigError(
            f"{asked}, which the logs do not have; their group attributes are {known}. Name one of them, or give "
            "logs that have it."
        )
    own = pl.DataFrame({"student": order}).join(
        students.select("student", pl.col(by).cast(pl.String).alias("group")),
        on="student",
        how="left",
        maintain_order="left",
    )
    return own["group"].to_list()
