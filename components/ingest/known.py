"""Known layouts of a kind of data: which of them a file is in, and what is said where files are in none or several."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

from components.errors import ConfigError, SchemaError
from components.ingest.column_words import may_be_shown
from components.ingest.heads import Head

MOST_SHOWN = 40
"""Columns that a message names."""


class Recognising(Protocol):
    """What a layout must do to be found."""

    @property
    def name(self) -> str:
        """Name of the layout, as the configuration may give it."""

    def recognise(self, head: Head) -> bool:
        """Return whether a file with this head is in the layout."""


L = TypeVar("L", bound=Recognising)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known(Generic[L]):
    """Layouts that are found from the files themselves."""

    layouts: tuple[L, ...]
    """Asked in this order; the first that recognises a file has it."""
    how_to_map: str
    """Says, with an example, how a file in another layout is read."""

    def found(self, head: Head) -> L | None:
        """Return the layout of a file, or None where it is in none of these."""
        return next((layout for layout in self.layouts if layout.recognise(head)), None)

    def named(self, name: str) -> L:
        """Return the layout of this name.

        Raises:
            ConfigError: there is none.
        """
        for layout in self.layouts:
            if layout.name == name:
                return layout
        known = ", ".join(("auto", *(layout.name for layout in self.layouts), "mapped"))
        raise ConfigError(f"ingest.layout = {name!r} is no layout; known are {known}. Choose one, or give a mapping.")

    def one_of(self, names: Sequence[str], heads: Sequence[Head]) -> L:
        """Return the one layout of all files.

        Args:
            names: the files' names, for messages.
            heads: the files' heads.

        Raises:
            SchemaError: files in no known layout, or in different ones; all of them listed.
        """
        found = [self.found(head) for head in heads]
        unknown = [(n, h) for n, h, layout in zip(names, heads, found, strict=True) if layout is None]
        if unknown:
            alike: dict[str, list[str]] = {}
            for name, head in unknown:
                alike.setdefault(self._described(head), []).append(name)
            lines = "\n".join(f"  - {', '.join(files)}: {described}" for described, files in alike.items())
            known = ", ".join(layout.name for layout in self.layouts)
            raise SchemaError(
                f"{len(unknown)} of {len(names)} files are in no layout known here ({known}):\n{lines}\n"
                f"{self.how_to_map}"
            )
        kinds = {layout.name: layout for layout in found if layout is not None}
        if len(kinds) > 1:
            lines = "\n".join(f"  - {n}: {k.name}" for n, k in zip(names, found, strict=True) if k is not None)
            raise SchemaError(
                f"The files of this run are in {len(kinds)} layouts; expected one:\n{lines}\n"
                "Ingest them in separate runs, or name the layout that all of them have."
            )
        return next(iter(kinds.values()))

    def _nearly(self, head: Head) -> str:
        """Say which layout the columns are of but for upper case and blanks."""
        names = tuple(re.sub(r"[\s-]+", "_", c.strip().lower()) for c in head.columns)
        layout = self.found(replace(head, columns=names, lines=()))
        if layout is None or names == head.columns:
            return ""
        pairs = [(old, new) for old, new in zip(head.columns, names, strict=True) if old != new and may_be_shown(old)]
        renamed = ", ".join(f"{old} -> {new}" for old, new in pairs) or "lower case, and _ for blanks"
        return f" (these are the columns of {layout.name} once they are renamed: {renamed})"

    def _described(self, head: Head) -> str:
        """Say which columns a file has, or only how many where its first line might be somebody's data.

        In a header too, names that are not usual for columns are only counted: gradebooks have a column per student.
        """
        if head.looks_like_header:
            shown = [name for name in head.columns if may_be_shown(name)][:MOST_SHOWN]
            hidden = len(head.columns) - len(shown)
            more = f" and {hidden} more" if hidden else ""
            return f"columns {', '.join(shown)}{more}{self._nearly(head)}"
        return f"{len(head.columns)} column(s) and a first line that does not look like names of columns"
