"""The layout `mapped`: any table, read as the configuration's column mapping says."""

from collections.abc import Mapping

from components.ingest.heads import Head
from components.writing.ingest.config import WritingMapping
from components.writing.ingest.layouts.layout import TableLayout
from components.writing.schema import TRAIT


class Mapped(TableLayout):
    """A table of somebody else's.

    Args:
        mapping: the configuration's mapping.
    """

    name = "mapped"

    def __init__(self, mapping: WritingMapping) -> None:
        self._mapping = mapping

    def recognise(self, head: Head) -> bool:
        """Return true: a mapping is always meant."""
        return True

    def mapping(self, columns: tuple[str, ...]) -> WritingMapping:
        """Return the configuration's mapping."""
        return self._mapping

    def source_column(self, target: str) -> str:
        """Return the mapping's name for one of our columns."""
        own = self._mapping
        named = {"response": own.response, "student": own.student, "prompt": own.prompt, "score": own.score}
        if target.startswith(TRAIT):
            return own.traits.get(target.removeprefix(TRAIT), target)
        return named.get(target) or target

    def groups(self, columns: tuple[str, ...]) -> Mapping[str, str]:
        """Return the mapping's group columns under their own names."""
        return {name: name for name in self._mapping.groups}

    def delimiter(self) -> str:
        """Return the mapping's delimiter."""
        return self._mapping.delimiter
