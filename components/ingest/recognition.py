"""Recognition: which layout the files of a run are in."""

import re
from collections.abc import Sequence
from dataclasses import replace

from components.errors import ConfigError, SchemaError
from components.ingest.column_words import may_be_shown
from components.ingest.config import IngestConfig
from components.ingest.heads import Head
from components.ingest.layouts.assistments_raw import AssistmentsRaw
from components.ingest.layouts.exam_time import ExamTime
from components.ingest.layouts.homeroom import Homeroom
from components.ingest.layouts.item_rows import ItemRows
from components.ingest.layouts.layout import Layout
from components.ingest.layouts.mapped import Mapped
from components.ingest.layouts.sequences3 import Sequences3
from components.ingest.layouts.sequences4 import Sequences4

LAYOUTS: tuple[type[Layout], ...] = (Homeroom, AssistmentsRaw, ItemRows, ExamTime, Sequences3, Sequences4)
"""Asked in this order; the first that recognises a file has it."""

MOST_SHOWN = 40
"""Columns that a message names."""

HOW_TO_MAP = (
    "Name the columns in the configuration, for example:\n"
    "    [ingest.mapping]\n"
    '    student = "Student ID"\n'
    '    item = "Question"\n'
    '    correct = "Is Correct"\n'
    '    time = "Submitted"\n'
    '    time_unit = "iso"'
)


def layout_of(config: IngestConfig, names: Sequence[str], heads: Sequence[Head]) -> Layout:
    """Return the one layout of all files.

    Args:
        config: names a layout, or `auto`.
        names: the files' names, for messages.
        heads: the files' heads.

    Raises:
        ConfigError: there is no layout of the name configured.
        SchemaError: files in no known layout, or in different ones; all of them listed.
    """
    if config.mapping is not None:
        return Mapped(config.mapping)
    if config.layout != "auto":
        return _named(config.layout)
    found = [_recognised(head) for head in heads]
    unknown = [(n, h) for n, h, kind in zip(names, heads, found, strict=True) if kind is None]
    if unknown:
        alike: dict[str, list[str]] = {}
        for name, head in unknown:
            alike.setdefault(_described(head), []).append(name)
        lines = "\n".join(f"  - {', '.join(files)}: {described}" for described, files in alike.items())
        known = ", ".join(kind.name for kind in LAYOUTS)
        raise SchemaError(
            f"{len(unknown)} of {len(names)} files are in no layout known here ({known}):\n{lines}\n{HOW_TO_MAP}"
        )
    kinds = {kind for kind in found if kind is not None}
    if len(kinds) > 1:
        lines = "\n".join(f"  - {n}: {k.name}" for n, k in zip(names, found, strict=True) if k is not None)
        raise SchemaError(
            f"The files of this run are in {len(kinds)} layouts; expected one:\n{lines}\n"
            "Ingest them in separate runs, or name the layout that all of them have."
        )
    return kinds.pop()()


def is_found(config: IngestConfig) -> bool:
    """Return whether the layout is found from the files, not named or mapped."""
    return config.mapping is None and config.layout == "auto"


def layout_if_known(config: IngestConfig, head: Head) -> Layout | None:
    """Return the layout of one file, or None where it is in none known here.

    Raises:
        ConfigError: there is no layout of the name configured.
    """
    if not is_found(config):
        return layout_of(config, [], [])
    kind = _recognised(head)
    return None if kind is None else kind()


def _recognised(head: Head) -> type[Layout] | None:
    return next((kind for kind in LAYOUTS if kind().recognise(head)), None)


def _named(name: str) -> Layout:
    for kind in LAYOUTS:
        if kind.name == name:
            return kind()
    known = ", ".join(("auto", *(kind.name for kind in LAYOUTS), "mapped"))
    raise ConfigError(f"ingest.layout = {name!r} is no layout; known are {known}. Choose one, or give a mapping.")


def _nearly(head: Head) -> str:
    """Say which layout the columns are of but for upper case and blanks."""
    names = tuple(re.sub(r"[\s-]+", "_", c.strip().lower()) for c in head.columns)
    kind = _recognised(replace(head, columns=names, lines=()))
    if kind is None or names == head.columns:
        return ""
    pairs = [(old, new) for old, new in zip(head.columns, names, strict=True) if old != new and may_be_shown(old)]
    renamed = ", ".join(f"{old} -> {new}" for old, new in pairs) or "lower case, and _ for blanks"
    return f" (these are the columns of {kind.name} once they are renamed: {renamed})"


def _described(head: Head) -> str:
    """Say which columns a file has, or only how many where its first line might be somebody's data.

    In a header too, names that are not usual for columns are only counted: gradebooks have a column per student.
    """
    if head.looks_like_header:
        shown = [name for name in head.columns if may_be_shown(name)][:MOST_SHOWN]
        hidden = len(head.columns) - len(shown)
        more = f" and {hidden} more" if hidden else ""
        return f"columns {', '.join(shown)}{more}{_nearly(head)}"
    return f"{len(head.columns)} column(s) and a first line that does not look like names of columns"
