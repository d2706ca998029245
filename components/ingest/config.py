"""Configuration of the ingest stage: which layout, how columns map to the schema, and how much may be unusable."""

from datetime import UTC, datetime, time
from typing import Literal

from components.config import config_class

Protocol = Literal["problem", "row_per_skill"]
DELIMITERS = (",", "\t", ";", "|")


@config_class
class ColumnMapping:
    """Says which column of a table holds what.

    Only `student`, one of `correct` and `score`, and one of `item` and `skills` are needed.
    """

    student: str
    """Column with the student's id. It leaves ingest as a keyed pseudonym only."""
    correct: str | None = None
    """Column that says right or wrong: 1, 1.0, true and 0, 0.0, false, unless the next two say otherwise."""
    right_values: tuple[str, ...] = ()
    """How `correct` says right, such as `ja`, in any case; then only this counts as right."""
    wrong_values: tuple[str, ...] = ()
    """How `correct` says wrong, such as `nein`; given together with `right_values`."""
    score: str | None = None
    """Column with a score from 0 to 1."""
    decimal_comma: bool = False
    """Whether `score` and `response_time` are written with a decimal comma (`0,75`). A point is then unreadable."""
    item: str | None = None
    """Column with the problem's id."""
    skills: str | None = None
    """Column with the skill's name, or several joined by `skill_separator`. Empty means no skill."""
    skill_separator: str | None = None
    """What stands between skills in one cell, such as `;`. None: a cell is one skill, whatever it holds."""
    time: str | None = None
    """Column with the time of the answer."""
    time_unit: str = "ms"
    """`ms` or `s` (since 1970 or the source's own origin), `iso` (ISO 8601), or a strptime pattern: `%d.%m.%Y %H:%M`
    for 30.09.2025 14:05. Times without a zone are taken as UTC."""
    response_time: str | None = None
    """Column with the time that the answer took."""
    response_time_unit: Literal["ms", "s"] = "ms"
    """Unit of `response_time`."""
    attempt: str | None = None
    """Column with the number of the attempt at the item, from 1."""
    order: str | None = None
    """Column with whole numbers that put a student's answers in order. Rows of a student that share a number are one
    answer to a problem with several skills; protocol `problem` merges them."""
    groups: tuple[str, ...] = ()
    """Columns with group attributes of the student, such as `gender`; kept as they are, for the fairness report. One
    that identifies people is refused."""
    delimiter: str = "auto"
    """Between columns of a text file: `auto`, or one of comma, tab, semicolon and bar."""

    def __post_init__(self) -> None:
        """Refuse mappings that cannot work."""
        problems = []
        if self.correct is None and self.score is None:
            problems.append("correct and score are both missing; name the column that says how the answer was judged")
        if self.item is None and self.skills is None:
            problems.append("item and skills are both missing; name at least one, or nothing tells answers apart")
        if self.student in self.groups:
            problems.append("groups names the student column; a student's id never leaves ingest, so take it out")
        if len(set(self.groups)) != len(self.groups):
            problems.append(f"groups = {list(self.groups)} repeats a column; name each once")
        if reserved := sorted({"student", "declared_split"} & set(self.groups)):
            problems.append(
                f"groups holds {reserved}, which are columns of students.parquet; rename them in the source"
            )
        problems += self._judgement_problems()
        if self.skill_separator == "":
            problems.append("skill_separator is empty; give the text between skills, or leave it out")
        if self.time_unit not in {"ms", "s", "iso"} and "%" not in self.time_unit:
            problems.append(
                f"time_unit = {self.time_unit!r} is neither ms, s, iso nor a pattern with %; "
                "for 09/30/2025 14:05 write %m/%d/%Y %H:%M, for 30.09.2025 14:05 %d.%m.%Y %H:%M"
            )
        if self.delimiter not in {"auto", *DELIMITERS}:
            problems.append(
                f"delimiter = {self.delimiter!r} is none of auto, comma, tab, semicolon and bar; use one of these"
            )
        if problems:
            raise ValueError("; ".join(problems) + ".")

    def _judgement_problems(self) -> list[str]:
        right, wrong = ({v.strip().lower() for v in values} for values in (self.right_values, self.wrong_values))
        if not right and not wrong:
            return []
        problems = []
        if not right or not wrong:
            problems.append(
                "only one of right_values and wrong_values is given; give both, e.g. right_values = ['ja'] and "
                "wrong_values = ['nein']"
            )
        if self.correct is None:
            problems.append("right_values and wrong_values need the column that they stand in; name it as correct")
        if "" in right | wrong:
            problems.append("right_values or wrong_values holds an empty text, but an empty cell says nothing; drop it")
        if both := sorted(right & wrong):
            problems.append(f"right_values and wrong_values both hold {both} (case does not count); keep it in one")
        return problems

    def columns(self) -> tuple[str, ...]:
        """Return the names of all columns that are read, each once."""
        named = (
            self.student, self.item, self.skills, self.correct, self.score, self.time, self.response_time,
            self.attempt, self.order, *self.groups,
        )  # fmt: skip
        return tuple(dict.fromkeys(name for name in named if name is not None))


@config_class
class IngestConfig:
    """How raw files become interactions."""

    layout: str = "auto"
    """`auto` (found from the files themselves) or the name of a layout, such as `homeroom` or `assistments_raw`."""
    mapping: ColumnMapping | None = None
    """Columns of a table in a layout of your own; makes the layout `mapped`."""
    protocol: Protocol = "problem"
    """`problem`: an answer to a problem with several skills is one row with a set of skills. `row_per_skill`: rows stay
    as the source has them; a source with a row per skill then repeats the answer, which lets models copy it."""
    quarantine_limit: float = 0.05
    """Largest share, in [0, 1], of rows that may be unusable before the run stops."""
    encoding: Literal["utf-8", "latin-1", "cp1252"] = "utf-8"
    """Encoding of text files. With `utf-8` a row with other bytes goes to quarantine, and with the others a row that is
    UTF-8 or no text. UTF-8 and UTF-16 with a mark at the start are read as what the mark says."""
    latest_time: str | None = None
    """Last moment, in ISO 8601 (a date alone: to its end; without a zone: UTC), at which an answer can have been given;
    later rows go to quarantine as `time_in_future`. It is set, not taken from the clock: the same files with the same
    configuration give the same result on any day, and times from an origin of the source's own are left alone. Without
    it, a run only says how many answers lie more than a day ahead of the clock."""

    def __post_init__(self) -> None:
        """Check ranges and that layout and mapping agree."""
        if not 0.0 <= self.quarantine_limit <= 1.0:
            raise ValueError(
                f"quarantine_limit is {self.quarantine_limit}; expected a share, 0 (stop at any bad row) to 1."
            )
        if self.latest_time is not None:
            self.latest_ms()
        if self.layout == "mapped" and self.mapping is None:
            raise ValueError(
                "layout = 'mapped' needs a mapping; add a section that names the columns, see ColumnMapping."
            )
        if self.mapping is not None and self.layout not in {"auto", "mapped"}:
            raise ValueError(
                f"layout = {self.layout!r} and a mapping exclude each other (a mapping is layout 'mapped'); drop one."
            )

    def latest_ms(self) -> int | None:
        """Return `latest_time` in milliseconds since 1970, or None where none is set."""
        if self.latest_time is None:
            return None
        try:
            moment = datetime.fromisoformat(self.latest_time)
        except ValueError:
            raise ValueError(
                f"latest_time = {self.latest_time!r} is no date or time in ISO 8601; write e.g. '2026-07-31' or "
                "'2026-07-31T18:00:00+02:00'."
            ) from None
        if len(self.latest_time) <= len("2026-07-31"):
            moment = datetime.combine(moment.date(), time(23, 59, 59, 999_000))
        return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
