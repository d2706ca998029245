"""The layout `sequences4`: four lines per student: index and id; items; skills; answers 0 or 1."""

import re
from collections.abc import Iterator

from components.ingest.answers import Batch
from components.ingest.config import IngestConfig
from components.ingest.files import RawFile
from components.ingest.heads import Head
from components.ingest.layouts.layout import Layout, Merging
from components.ingest.layouts.sequences import Lines, cells, find_sequences, read_lines, sequence_batch

_IDS = re.compile(r"\d+\s*,\s*[^,]+")


class Sequences4(Layout):
    """As in the AKT folds: a problem with several skills stands there once per skill, one behind the other."""

    name = "sequences4"

    def recognise(self, head: Head) -> bool:
        """Return whether the first four lines fit together."""
        lines = [line.strip().removesuffix(",") for line in head.lines[:4]]
        return head.format == "text" and len(lines) == 4 and _is_record(lines, 0)

    def merging(self) -> Merging:
        """Return `repeats`."""
        return "repeats"

    def read(self, file: RawFile, head: Head, config: IngestConfig) -> Iterator[Batch]:
        """Yield the file's answers."""
        lines = read_lines(file, config)
        found = find_sequences(lines, 4, _is_record)
        yield sequence_batch(
            file,
            found,
            students=[lines[at].partition(",")[2].strip() for at in found.starts],
            items=[lines[at + 1] for at in found.starts],
            skills=[lines[at + 2] for at in found.starts],
            answers=[lines[at + 3] for at in found.starts],
        )


def _is_record(lines: Lines, at: int) -> bool:
    if _IDS.fullmatch(lines[at]) is None:
        return False
    return cells(lines[at + 1]) == cells(lines[at + 2]) == cells(lines[at + 3])
