"""The layout `sequences3`: three lines per student, without ids: number of answers; skills; answers 0 or 1."""

from collections.abc import Iterator

from components.ingest.answers import Batch
from components.ingest.config import IngestConfig
from components.ingest.files import RawFile
from components.ingest.heads import Head
from components.ingest.layouts.layout import Layout
from components.ingest.layouts.sequences import Lines, cells, find_sequences, read_lines, sequence_batch


class Sequences3(Layout):
    """As in the DKVMN folds. A student is named by the file's digest and the record's number, so that the name stays.

    Questions are skills there; items are unknown. Rows of a problem with several skills cannot be told from others.
    """

    name = "sequences3"

    def recognise(self, head: Head) -> bool:
        """Return whether the first three lines fit together."""
        lines = [line.strip().removesuffix(",") for line in head.lines[:3]]
        return head.format == "text" and len(lines) == 3 and _is_record(lines, 0)

    def read(self, file: RawFile, head: Head, config: IngestConfig) -> Iterator[Batch]:
        """Yield the file's answers."""
        lines = read_lines(file, config)
        found = find_sequences(lines, 3, _is_record)
        yield sequence_batch(
            file,
            found,
            students=[f"{file.digest}:{number}" for number in range(len(found.starts))],
            items=None,
            skills=[lines[at + 1] for at in found.starts],
            answers=[lines[at + 2] for at in found.starts],
        )


def _is_record(lines: Lines, at: int) -> bool:
    count = lines[at]
    if not (count.isascii() and count.isdecimal() and len(count) < 10):
        return False
    return cells(lines[at + 1]) == cells(lines[at + 2]) == int(count)
