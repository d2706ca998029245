"""The layout `mapped`: any table, read as the configuration's column mapping says."""

from collections.abc import Mapping

from components.ingest.config import ColumnMapping, IngestConfig
from components.ingest.heads import Head
from components.ingest.layouts.layout import Merging, TableLayout
from components.ingest.rows import TextOptions
from components.ingest.tables import text_options


class Mapped(TableLayout):
    """A table of somebody else's.

    Args:
        mapping: the configuration's mapping.
    """

    name = "mapped"

    def __init__(self, mapping: ColumnMapping) -> None:
        self._mapping = mapping
        self.skill_separator = mapping.skill_separator

    def recognise(self, head: Head) -> bool:
        """Return true: a mapping is always meant."""
        return True

    def merging(self) -> Merging:
        """Return `order` where the mapping names such a column."""
        return "none" if self._mapping.order is None else "order"

    def mapping(self, columns: tuple[str, ...]) -> ColumnMapping:
        """Return the configuration's mapping."""
        return self._mapping

    def source_column(self, target: str) -> str:
        """Return the mapping's name for one of our columns."""
        named = {"item": self._mapping.item, "skills": self._mapping.skills}.get(target)
        return target if named is None else named

    def groups(self, columns: tuple[str, ...]) -> Mapping[str, str]:
        """Return the mapping's group columns under their own names."""
        return {name: name for name in self._mapping.groups}

    def options(self, head: Head, config: IngestConfig) -> TextOptions:
        """Return the options with the mapping's delimiter."""
        return text_options(head, delimiter=self._mapping.delimiter, encoding=config.encoding, fallback=None)
