"""The digest at the end of a checkpoint file: written with it, compared before anything in it is read.

A checkpoint is a zip archive, as `torch.save` writes it. The digest is the archive's comment, so that every program
that reads such files reads ours.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import torch

_MARK = b"trainer-sha256:"
_COMMENT_BYTES = len(_MARK) + 64
_LENGTH_BYTES = 2  # an archive ends with the length of its comment, and the comment
_END_BYTES = 22  # an archive's last record, with the length of its comment
_TAIL_BYTES = 4096  # where that record is looked for
_BLOCK = 1 << 20


class DamagedError(ValueError):
    """A file that is not what was written."""


class _Digesting:
    """A file to write to, which keeps the digest of what it was given, and what went wrong first.

    torch answers a failed write with an error of its own, about a position that it did not expect.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()
        self.failure: OSError | None = None

    def write(self, data: Any) -> int:  # Any: bytes of any kind
        self.sha256.update(data)
        try:
            return self._file.write(data)
        except OSError as error:
            self.failure = self.failure or error
            raise

    def flush(self) -> None:
        self._file.flush()


def write_with_digest(value: object, file: BinaryIO) -> None:
    """Write `value` as `torch.save` does, and its digest after it.

    Raises:
        OSError: the file system refuses.
    """
    target = _Digesting(file)
    try:
        torch.save(value, target)  # type: ignore[arg-type]  # it writes and flushes, and torch asks for no more
    except Exception as error:
        if target.failure is not None and error is not target.failure:
            raise target.failure from error
        raise
    comment = _MARK + target.sha256.hexdigest().encode()
    file.seek(-_LENGTH_BYTES, os.SEEK_END)
    file.write(len(comment).to_bytes(_LENGTH_BYTES, "little") + comment)


def verify(path: str | Path) -> None:
    """Compare the digest of a file, or the checksums in one that `torch.save` wrote alone; nothing is unpickled.

    Raises:
        DamagedError: the file is damaged, cut short, or of another kind.
    """
    with open(path, "rb") as file:
        if file.read(4) != b"PK\x03\x04":
            raise DamagedError("it does not begin as a checkpoint does")
        size = file.seek(0, os.SEEK_END)
        comment = _comment(file, size)
        if comment.startswith(_MARK):
            _compare(file, size - _COMMENT_BYTES - _LENGTH_BYTES, comment.removeprefix(_MARK).decode(errors="replace"))
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.rpartition("/")[2] for name in archive.namelist()]
            broken = None if comment.startswith(_MARK) else archive.testzip()
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, ValueError) as error:
        raise DamagedError(str(error)) from error
    if broken is not None:
        raise DamagedError(f"the checksum of {broken} is wrong")
    if "data.pkl" not in names:
        raise DamagedError(f"it is an archive of other things: {', '.join(sorted(names)[:3]) or 'nothing'}")


def _comment(file: BinaryIO, size: int) -> bytes:
    """Return the archive's comment, which has to end where the file ends."""
    file.seek(max(0, size - _TAIL_BYTES))
    tail = file.read()
    start = tail.rfind(b"PK\x05\x06")
    comment = tail[start + _END_BYTES :]
    length = int.from_bytes(tail[start + _END_BYTES - _LENGTH_BYTES : start + _END_BYTES], "little")
    if start < 0 or len(comment) != length or (comment and not comment.startswith(_MARK)):
        raise DamagedError("its end is missing, or another")
    return comment


def _compare(file: BinaryIO, size: int, expected: str) -> None:
    found = hashlib.sha256()
    file.seek(0)
    while size > 0:
        block = file.read(min(_BLOCK, size))
        if not block:
            break
        found.update(block)
        size -= len(block)
    found.update(bytes(_LENGTH_BYTES))  # there was no comment yet
    if found.hexdigest() != expected:
        raise DamagedError("its bytes do not have the digest that was written with them")
