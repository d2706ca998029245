"""The layout `homeroom`: our own column names, one row per response; what the simulator writes."""

import re
from collections.abc import Mapping

from components.errors import SchemaError
from components.ingest.heads import Head
from components.writing.ingest.config import WritingMapping
from components.writing.ingest.layouts.layout import TableLayout
from components.writing.ingest.responses import FIXED_SCHEMA
from components.writing.schema import RATER, TRAIT

GROUP_PREFIX = "group_"
_RESERVED = {"student", "declared_split"}
_RATER = re.compile(r"rater_([1-9]\d?)")


class Homeroom(TableLayout):
    """Needs the columns `text`, and `score` or `rater_1` or, for writing that is to be graded, `prompt`.

    Takes where they are there `prompt` (without it all rows answer one), `response`, `student`, `split` (train, valid
    or test), `rater_1`, `rater_2` and so on, `trait_<name>` and `group_<attribute>`. With a column `rater`, which names
    one, a response has a row per rater, and `score` is that rater's.
    """

    name = "homeroom"

    def recognise(self, head: Head) -> bool:
        """Return whether the columns needed are there by name."""
        names = set(head.columns)
        return "text" in names and bool({"prompt", "score", "rater_1"} & names)

    def mapping(self, columns: tuple[str, ...]) -> WritingMapping:
        """Return the mapping of the columns that the file has.

        Raises:
            SchemaError: the columns do not go together.
        """

        def known(name: str) -> str | None:
            return name if name in columns else None

        raters = sorted((c for c in columns if _RATER.fullmatch(c)), key=lambda c: int(c.removeprefix(RATER)))
        if "rater" in columns and raters:
            raise SchemaError(
                f"The files have a column rater, as where a response has a row per rater, and {', '.join(raters)}, as "
                "where it has one row; expected one of the two. Drop or rename either."
            )
        if "rater" in columns and not {"response", "score"} <= set(columns):
            raise SchemaError(
                "The files have a column rater, as where a response has a row per rater, but no columns response and "
                "score; expected both. Deliver them, or drop rater."
            )
        if raters != [f"{RATER}{number}" for number in range(1, len(raters) + 1)]:
            raise SchemaError(
                f"The files have the rater columns {', '.join(raters)}; expected rater_1, rater_2 and so on without a "
                "gap. Rename them."
            )
        return WritingMapping(
            text="text",
            response=known("response"),
            student=known("student"),
            prompt=known("prompt"),
            score=known("score"),
            raters=tuple(raters),
            rater=known("rater"),
            traits={c.removeprefix(TRAIT): c for c in columns if c.startswith(TRAIT) and c != TRAIT},
            split=known("split"),
        )

    def source_column(self, target: str) -> str:
        """Return our own name; group attributes have a prefix."""
        is_ours = target in FIXED_SCHEMA or target.startswith((RATER, TRAIT))
        return target if is_ours else GROUP_PREFIX + target

    def groups(self, columns: tuple[str, ...]) -> Mapping[str, str]:
        """Return the columns that start with `group_`; the attribute is what follows."""
        found = {c: c.removeprefix(GROUP_PREFIX) for c in columns if c.startswith(GROUP_PREFIX)}
        wrong = sorted(c for c, name in found.items() if not name or name in _RESERVED)
        if wrong:
            raise SchemaError(
                f"Group column(s) {', '.join(wrong)} have a name that students.parquet needs. Rename them."
            )
        return found
