"""The few steps by which a folder store writes, one function each: wherever a disk can fail or a power cut hit.

The store calls them through this module (`disk.rename(...)`), so that `components.testing.DiskFaults` can put a fault
at each. They raise what the system raises; `components/places/explaining.py` says it in words.
"""

import os
import shutil
from pathlib import Path
from typing import BinaryIO


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; the names of new ones are flushed, so that a power cut cannot lose them."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for new in reversed(missing):
        new.mkdir(exist_ok=True)
        flush_folder(new.parent)


def create(path: Path) -> BinaryIO:
    """Open a new file for writing."""
    return path.open("wb")


def write(stream: BinaryIO, body: bytes) -> None:
    """Write all of `body`."""
    stream.write(body)
    stream.flush()


def copy(source: Path, target: Path) -> None:
    """Copy a file's bytes from another disk."""
    shutil.copyfile(source, target)


def flush(path: Path) -> None:
    """Wait until a file's bytes are on the disk."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def rename(source: Path, target: Path) -> None:
    """Give a file its final name, in one step, in the place of what had it."""
    os.replace(source, target)


def link(source: Path, target: Path) -> None:
    """Give a file a second name, in one step.

    Raises:
        FileExistsError: the name is taken.
    """
    os.link(source, target)


def flush_folder(folder: Path) -> None:
    """Wait until a folder's names are on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
