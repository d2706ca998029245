"""Parquet files, written with an error that says so where the disk is full: polars does not pass the reason on."""

import contextlib
import errno
import shutil
from pathlib import Path

import polars as pl

from components.errors import NoRoomError, StoreError

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
SMALLEST_BYTES = 1 << 16
LARGEST_BYTES = 1 << 30


def write_parquet(frame: pl.DataFrame, path: Path, *, row_group_size: int | None = None) -> None:
    """Write `frame` to `path`.

    Raises:
        NoRoomError: the disk is full; the message says how much there is and how much is needed at most.
        StoreError: it cannot be written for another reason.
    """
    try:
        frame.write_parquet(path, row_group_size=row_group_size)
    except (pl.exceptions.PolarsError, OSError) as error:
        _forget(path)  # half a file
        needed = max(int(frame.estimated_size()), SMALLEST_BYTES)
        reason = _refusal(path, min(needed, LARGEST_BYTES)) or error
        if isinstance(reason, OSError) and reason.errno in FULL:
            free = shutil.disk_usage(path.parent).free
            raise NoRoomError(
                f"{path.name} could not be written to {path.parent}: {reason.strerror}. It takes up to "
                f"{needed / 1e6:,.2f} MB, and the disk has {free / 1e6:,.2f} MB free. Free some room (or raise the "
                "quota), then run the same command again: finished stages are not repeated, and nothing half-written "
                "is used."
            ) from error
        raise StoreError(
            f"{path.name} could not be written to {path.parent}: {type(reason).__name__}: "
            f"{reason.strerror if isinstance(reason, OSError) else 'the writer failed'}. Check that the folder may be "
            "written (`homeroom doctor`)."
        ) from error


def _refusal(path: Path, needed: int) -> OSError | None:
    """Return what the system says to a file of so many bytes in the same place; None where it has room for it."""
    piece = bytes(SMALLEST_BYTES)
    try:
        with path.open("wb") as stream:
            for _ in range(0, needed, len(piece)):
                stream.write(piece)
    except OSError as error:
        return error
    finally:
        _forget(path)
    return None


def _forget(path: Path) -> None:
    with contextlib.suppress(OSError):  # where it could not be made, there is nothing
        path.unlink()
