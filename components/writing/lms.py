"""Grades as learning management systems import them: presets over `components/writing/grades.py`, and a safe CSV.

Canvas' gradebook import knows a student by `ID`, `SIS User ID` or `SIS Login ID` and takes a column per assignment;
Moodle's asks on import which column is whose, and knows a user by user name, id number or email address. The files that
are scored must hold such a column.
"""

from collections.abc import Sequence
from typing import Literal

import polars as pl

from components.errors import ConfigError
from components.writing.grades import OWN, GradesConfig

Lms = Literal["canvas", "moodle", "plain"]

IDS = {
    "canvas": ("ID", "SIS User ID", "SIS Login ID"),
    "moodle": ("Username", "ID number", "Email address", "Identifier"),
}
"""Columns by which an import knows a student; any case. One of them is needed."""
NAMES = {"canvas": ("Student", "Section"), "moodle": ("First name", "Last name", "Surname", "Full name")}
"""Columns that people read besides; copied where they are there."""
FORMULA = r"^[=+\-@\t\r]"
"""What a spreadsheet takes for the beginning of a formula."""


def own_columns(lms: Lms, columns: Sequence[str]) -> list[str]:
    """Return which columns of a submitted file go into the grades, as they are written there.

    Raises:
        ConfigError: none of them tells the system who a student is.
    """
    if lms == "plain":
        return [name for name in ("student", "response") if name in columns]
    spelled = {name.strip().lower(): name for name in columns}
    ids = [spelled[name.lower()] for name in IDS[lms] if name.lower() in spelled]
    if not ids:
        raise ConfigError(
            f"The submitted file has no column by which {lms} knows a student; expected one of {', '.join(IDS[lms])}. "
            "Add it to the submissions, or write plain grades (--lms plain)."
        )
    names = [spelled[name.lower()] for name in NAMES[lms] if name.lower() in spelled]
    return [*names[:1], *ids, *names[1:]]


def lms_config(
    lms: Lms, own: Sequence[str], *, assignment: str = "{prompt}", grade: Literal["points", "percent"] = "points"
) -> GradesConfig:
    """Return the table of an import.

    Args:
        lms: the system.
        own: columns of the submitted files, from `own_columns`.
        assignment: header of the column of grades; `{prompt}` stands for the prompt's id.
        grade: on the rubric's scale or in percent of its range.
    """
    if lms == "plain":
        copied = [f"{name} = {OWN}{name}" for name in own] or ["student = student"]
        columns = [*copied, "prompt = prompt", "grade = grade", "low = low", "high = high", "note = note"]
        return GradesConfig(columns=tuple(columns), grade=grade)
    canonical = {name.lower(): name for name in (*IDS[lms], *NAMES[lms])}
    copied = [f"{canonical[name.strip().lower()]} = {OWN}{name}" for name in own]
    header = assignment if "{prompt}" in assignment else f"{assignment}{{prompt}}"
    return GradesConfig(columns=(*copied, f"{header} = grade"), shape="wide", grade=grade)


def named_assignment(table: pl.DataFrame, assignment: str, prompts: Sequence[str]) -> pl.DataFrame:
    """Return a wide table whose one column of grades has the assignment's own name.

    Raises:
        ConfigError: there are several prompts, which one name cannot tell apart.
    """
    if "{prompt}" in assignment:
        return table
    if len(prompts) > 1:
        raise ConfigError(
            f"--assignment {assignment!r} names one column, but the submissions answer {len(prompts)} prompts; "
            "expected {prompt} in it, which stands for the prompt's id. Add it."
        )
    return table.rename({f"{assignment}{prompt}": assignment for prompt in prompts})


def safe_csv(table: pl.DataFrame) -> str:
    """Return a CSV in which no text begins as a formula does: a spreadsheet would run it. A quote is put before it."""
    texts = [name for name, dtype in table.schema.items() if dtype == pl.String]
    guarded = table.with_columns(
        pl.when(pl.col(name).str.contains(FORMULA)).then(pl.lit("'") + pl.col(name)).otherwise(pl.col(name)).alias(name)
        for name in texts
    )
    headers = {name: f"'{name}" for name in table.columns if name[:1] in "=+-@\t\r" and name}
    return guarded.rename(headers).write_csv()
