"""Recognition: which layout of student logs the files of a run are in."""

from collections.abc import Sequence

from components.ingest.config import IngestConfig
from components.ingest.heads import Head
from components.ingest.known import Known
from components.ingest.layouts.assistments_raw import AssistmentsRaw
from components.ingest.layouts.exam_time import ExamTime
from components.ingest.layouts.homeroom import Homeroom
from components.ingest.layouts.item_rows import ItemRows
from components.ingest.layouts.layout import Layout
from components.ingest.layouts.mapped import Mapped
from components.ingest.layouts.sequences3 import Sequences3
from components.ingest.layouts.sequences4 import Sequences4

HOW_TO_MAP = (
    "Name the columns in the configuration, for example:\n"
    "    [ingest.mapping]\n"
    '    student = "Student ID"\n'
    '    item = "Question"\n'
    '    correct = "Is Correct"\n'
    '    time = "Submitted"\n'
    '    time_unit = "iso"'
)
LAYOUTS: Known[Layout] = Known(
    layouts=(Homeroom(), AssistmentsRaw(), ItemRows(), ExamTime(), Sequences3(), Sequences4()), how_to_map=HOW_TO_MAP
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
        return LAYOUTS.named(config.layout)
    return LAYOUTS.one_of(names, heads)


def is_found(config: IngestConfig) -> bool:
    """Return whether the layout is found from the files, not named or mapped."""
    return config.mapping is None and config.layout == "auto"


def layout_if_known(config: IngestConfig, head: Head) -> Layout | None:
    """Return the layout of one file, or None where it is in none known here.

    Raises:
        ConfigError: there is no layout of the name configured.
    """
    return LAYOUTS.found(head) if is_found(config) else layout_of(config, [], [])
