"""The one schema of student interactions that every source is mapped to; columns, types, units.

`StudentLogs` holds four tables. Rows of `interactions` are sorted by student, then time (source order where there is no
time), and `position` counts them from 0 within each student.
"""

from dataclasses import dataclass

INTERACTIONS = "interactions.parquet"
SKILL_SETS = "skill_sets.parquet"
STUDENTS = "students.parquet"
QUARANTINE = "quarantine.parquet"
REPORT = "report.json"

PREDICTIONS = "predictions.parquet"
"""File of an Evaluation: student, position, scored, label, probability; one row per step of the split. Of a model
with a post-processor also raw_probability, the answer without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: its polars type by name, whether it may be null, and what it means."""

    name: str
    dtype: str
    nullable: bool
    meaning: str


INTERACTION_COLUMNS = (
    Column(name="student", dtype="String", nullable=False, meaning="keyed pseudonym, 32 hex digits"),
    Column(name="position", dtype="UInt32", nullable=False, meaning="0-based place in the student's sequence"),
    Column(name="item", dtype="String", nullable=True, meaning="problem id; null where the source has none"),
    Column(name="skill_set", dtype="UInt32", nullable=False, meaning="row of skill_sets.parquet; sets may be empty"),
    Column(name="correct", dtype="Int8", nullable=True, meaning="0 or 1; null where only a score is known"),
    Column(name="score", dtype="Float32", nullable=True, meaning="in [0, 1]; null where only right or wrong is known"),
    Column(name="time_ms", dtype="Int64", nullable=True, meaning="milliseconds since 1970 or the source's own origin"),
    Column(name="response_ms", dtype="Int64", nullable=True, meaning="time taken for the answer, >= 0"),
    Column(name="attempt", dtype="Int32", nullable=True, meaning="1-based attempt at the item"),
    Column(name="file", dtype="UInt16", nullable=False, meaning="index of the file in RawFiles"),
    Column(
        name="row", dtype="UInt32", nullable=False, meaning="1-based data row (or line) in the file, the first merged"
    ),
)

SKILL_SET_COLUMNS = (
    Column(name="skill_set", dtype="UInt32", nullable=False, meaning="0-based id"),
    Column(name="skills", dtype="List(String)", nullable=False, meaning="skill names, sorted, without repeats"),
)

STUDENT_COLUMNS = (
    Column(name="student", dtype="String", nullable=False, meaning="keyed pseudonym; one row per student, sorted"),
    Column(
        name="declared_split", dtype="String", nullable=True, meaning="`valid` or `test` if from such a file, else null"
    ),
    # then one String column per group attribute, named as StudentLogs.groups says; null where unknown
)

QUARANTINE_COLUMNS = (
    Column(name="file", dtype="UInt16", nullable=False, meaning="index of the file in RawFiles"),
    Column(name="row", dtype="UInt32", nullable=False, meaning="1-based data row (or line) in the file"),
    Column(name="column", dtype="String", nullable=True, meaning="the column at fault; never its value"),
    Column(name="reason", dtype="String", nullable=False, meaning="a short code such as `correct_not_0_or_1`"),
)
