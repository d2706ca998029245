"""The layout `homeroom`: our own column names, one row per answer; what the simulator writes."""

from collections.abc import Mapping

from components.errors import SchemaError
from components.ingest.answers import ANSWER_SCHEMA
from components.ingest.config import ColumnMapping
from components.ingest.heads import Head
from components.ingest.layouts.layout import TableLayout

GROUP_PREFIX = "group_"
_RESERVED = {"student", "declared_split"}


class Homeroom(TableLayout):
    """Needs the columns `student`, `correct` or `score`, and `item` or `skills` (joined by `;`).

    Takes where they are there `time` (ms since 1970, or a Parquet timestamp), `response_time` (ms), `attempt`, and
    `group_<attribute>`.
    """

    name = "homeroom"
    skill_separator = ";"

    def recognise(self, head: Head) -> bool:
        """Return whether the columns needed are there by name."""
        names = set(head.columns)
        return "student" in names and bool({"correct", "score"} & names) and bool({"item", "skills"} & names)

    def mapping(self, columns: tuple[str, ...]) -> ColumnMapping:
        """Return the mapping of the columns that the file has."""

        def known(name: str) -> str | None:
            return name if name in columns else None

        return ColumnMapping(
            student="student",
            correct=known("correct"),
            score=known("score"),
            item=known("item"),
            skills=known("skills"),
            skill_separator=self.skill_separator,
            time=known("time"),
            response_time=known("response_time"),
            attempt=known("attempt"),
        )

    def source_column(self, target: str) -> str:
        """Return our own name; group attributes have a prefix."""
        return target if target in ANSWER_SCHEMA else GROUP_PREFIX + target

    def groups(self, columns: tuple[str, ...]) -> Mapping[str, str]:
        """Return the columns that start with `group_`; the attribute is what follows."""
        found = {c: c.removeprefix(GROUP_PREFIX) for c in columns if c.startswith(GROUP_PREFIX)}
        wrong = sorted(c for c, name in found.items() if not name or name in _RESERVED)
        if wrong:
            raise SchemaError(
                f"Group column(s) {', '.join(wrong)} have a name that students.parquet needs. Rename them."
            )
        return found
