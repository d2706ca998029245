"""Log files that do not grow for ever. The processes keep them open, so they are copied and emptied, never renamed."""

import contextlib
import shutil
from datetime import UTC, datetime
from pathlib import Path

MOST_BYTES = 20_000_000
KEPT = 5


def rotate(path: Path, *, most_bytes: int = MOST_BYTES, kept: int = KEPT) -> bool:
    """Move a log that has grown too large to PATH.1, that to PATH.2 and so on; return whether it had.

    Lines that are written between copying and emptying are lost; the processes append, so they go on at the start.
    """
    try:
        if path.stat().st_size < most_bytes:
            return False
    except FileNotFoundError:
        return False
    for number in range(kept - 1, 0, -1):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(f"{path.name}.{number}").replace(path.with_name(f"{path.name}.{number + 1}"))
    shutil.copyfile(path, path.with_name(f"{path.name}.1"))
    with path.open("r+b") as stream:
        stream.truncate(0)
    return True


def line_of(text: str) -> str:
    """Return a line of the installation's own log."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {text}\n"
