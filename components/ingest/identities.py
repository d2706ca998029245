"""Identities: columns that would publish who a student is are refused before anything is written.

Items, skills and group attributes are published as they are. An id or a name among them would undo the pseudonyms.
"""

from collections.abc import Callable, Mapping, Sequence

import polars as pl

from components.errors import SchemaError
from components.ingest.column_words import spelled
from components.ingest.rows import JOIN

TOLD = {"item": "items", "skills": "skills", "prompt": "prompts"}
"""How a message calls what a published column holds."""
MOST_SHARE = 0.01
"""Share of a column's values that may be ids of students."""
MOST_VALUES = 5
"""Different ids of students that a group attribute may hold, however small their share."""
FEWEST_IDS = 3
"""Fewer different ids of students may stand in a column by coincidence, whatever their share."""
MORE_THAN_CHANCE = 2.0
"""Numbers that are some problem's and some student's alike meet in one row by chance; ids do at least this much more
often."""
MOST_DIFFERENT = 50
MOST_DIFFERENT_SHARE = 0.2
"""A column with more different values than both of these say, the share being one of students, names its people."""
FEWEST_ALONE = 3
"""Of fewer values, or students, each may belong to the other alone by chance: a log to be scored may hold two."""
MOST_ALONE_SHARE = 0.5
"""Share of a group's values that may belong to a single student each, however few students there are; unless these are
few among the students (`MOST_DIFFERENT_SHARE`), as speakers of rare languages are."""
MOST_CONSTANT_SHARE = 0.95


def check_identities(
    answers: pl.DataFrame,
    groups: Sequence[pl.DataFrame],
    published: Mapping[str, str | None],
    source_column: Callable[[str], str],
) -> None:
    """Refuse answers and groups with a column that identifies students. Messages name the column, never a value.

    A value that is no number counts as an id where any student has it as id. Numbers coincide (problem 7 is not student
    7), so one counts only beside the student whose id it is, and only where that happens more often than by chance.

    Args:
        answers: `student` and the columns of `published`, all as the source has them.
        groups: `student` and one column per attribute.
        published: columns, such as `item`, that are published as they stand -> what stands between several values in
            one cell, or None where a cell is one value.
        source_column: returns what the source calls one of our columns.

    Raises:
        SchemaError: such columns, all of them listed.
    """
    problems: list[str] = []
    for target, separator in published.items():
        pairs = _members(answers, target, separator)
        problem = _ids_in(answers["student"], pairs, most_values=None) or _personal(pairs)
        if problem is not None:
            problems.append(
                f"{spelled(source_column(target))}: {problem}. Expected names that many students share; map "
                "another column"
            )
    given = [g for g in groups if g.width]
    names = sorted({c for g in given for c in g.columns if c != "student"})
    for name in names:
        parts = [g.select("student", pl.col(name).alias("value")) for g in given if name in g.columns]
        pairs = pl.concat(parts).drop_nulls().unique(maintain_order=True).with_columns(pl.lit(1).alias("rows"))
        problem = _ids_in(answers["student"], pairs, most_values=MOST_VALUES) or _too_fine(pairs) or _alone(pairs)
        if problem is not None:
            problems.append(
                f"{spelled(source_column(name))}: {problem}. Expected an attribute that many students share; "
                "put it into a few bins in the source, or leave it out of the groups"
            )
    if problems:
        lines = "\n".join(f"  - {p}." for p in problems)
        told = " and ".join((", ".join(TOLD[target] for target in published), "groups") if published else ("groups",))
        raise SchemaError(
            f"{len(problems)} column(s) would publish who students are, as {told} are published as they stand:\n{lines}"
        )


def _members(answers: pl.DataFrame, target: str, separator: str | None) -> pl.DataFrame:
    """Return `student`, `value` and `rows`: how many of the student's rows hold the value."""
    counts = answers.lazy().select("student", pl.col(target).alias("value")).drop_nulls()
    found = counts.group_by("student", "value").agg(pl.len().alias("rows")).collect()
    if separator is None and not found["value"].str.contains(JOIN, literal=True).any():
        return found
    text = pl.col("value")
    if separator is not None:
        text = text.str.replace_all(separator, JOIN, literal=True)
    members = found.lazy().with_columns(text.str.split(JOIN)).explode("value", empty_as_null=True, keep_nulls=True)
    members = members.with_columns(pl.col("value").str.strip_chars()).filter(pl.col("value") != "")
    return members.group_by("student", "value").agg(pl.col("rows").sum()).collect()


def _spelling(name: str) -> pl.Expr:
    """Return one spelling of an id: without blanks, upper case, and zeros in front."""
    bare = pl.col(name).str.strip_chars().str.to_lowercase()
    short = bare.str.strip_chars_start("0")
    return pl.when(short != "").then(short).otherwise(bare)


def _ids_in(students: pl.Series, pairs: pl.DataFrame, most_values: int | None) -> str | None:
    """Return what is wrong where the values are ids of students."""
    ids = students.unique().rename("id").to_frame().select(_spelling("id"))["id"].unique()
    spelt = pairs.select(_spelling("student"), _spelling("value"), pl.col("rows").cast(pl.Int64))
    hits = spelt.filter(pl.col("value").is_in(ids.implode()))
    if not hits.height:
        return None
    total = int(spelt["rows"].sum())
    is_number = pl.col("value").str.contains(r"^[0-9]+$")
    telling = hits.filter(~is_number)
    own = hits.filter(is_number & (pl.col("value") == pl.col("student")))
    by_chance = _by_chance(spelt, total)
    if own["value"].n_unique() <= MOST_VALUES and own["rows"].sum() < total / 2:
        own = own.clear()  # so few may coincide
    elif own["rows"].sum() < MORE_THAN_CHANCE * by_chance:
        own = own.clear()
    found = pl.concat([telling, own])
    rows, different = int(found["rows"].sum()), found["value"].n_unique()
    if different < FEWEST_IDS:
        return None
    if rows > MOST_SHARE * total or (most_values is not None and different > most_values):
        return f"{rows} of its {total} values are ids of students"
    return None


def _by_chance(spelt: pl.DataFrame, total: int) -> float:
    """Return in how many rows a value would be the student's own id if values and students were paired at random."""
    rows = pl.col("rows").sum()
    by_student = spelt.group_by("student").agg(rows.alias("of_student"))
    by_value = spelt.group_by("value").agg(rows.alias("of_value"))
    both = by_student.join(by_value, left_on="student", right_on="value")
    return float(both.select((pl.col("of_student").cast(pl.Float64) * pl.col("of_value")).sum()).item()) / total


def _too_fine(pairs: pl.DataFrame) -> str | None:
    """Return what is wrong where a group attribute has about one value per student."""
    different, students = pairs["value"].n_unique(), pairs["student"].n_unique()
    if different <= MOST_DIFFERENT or different <= MOST_DIFFERENT_SHARE * students:
        return None
    return f"{different} different values for {students} students identify people"


def _alone(pairs: pl.DataFrame) -> str | None:
    """Return what is wrong where most values of a group attribute belong to one student each, as names do."""
    different, students = pairs["value"].n_unique(), pairs["student"].n_unique()
    alone = pairs.group_by("value").agg(pl.col("student").n_unique()).filter(pl.col("student") == 1).height
    if min(different, students) < FEWEST_ALONE:
        return None
    if alone <= MOST_ALONE_SHARE * different or alone <= MOST_DIFFERENT_SHARE * students:
        return None
    return f"{alone} of its {different} different values belong to a single student each and identify people"


def _personal(pairs: pl.DataFrame) -> str | None:
    """Return what is wrong where items or skills are one per student, as names are."""
    own = pairs.group_by("student").agg(pl.len().alias("values"), pl.col("rows").sum())
    several = own.filter(pl.col("rows") > 1)
    if _too_fine(pairs) is None or several.height <= MOST_DIFFERENT:
        return None
    if (several["values"] == 1).sum() <= MOST_CONSTANT_SHARE * several.height:
        return None
    return f"{pairs['value'].n_unique()} different values, and one per student, identify people"
