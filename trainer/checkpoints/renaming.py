"""Files and folders that take their names at once: what had the name before stays readable until then."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import uuid
from pathlib import Path

ASIDE = ".aside-"
"""What the name of something begins with that was moved away for its successor, where the two cannot be exchanged."""
CORRUPT = ".corrupt-"
TEMPORARY = ".tmp-"
_AT_FDCWD = -100
_EXCHANGE = 2


def flush_folder(folder: Path) -> None:
    """Make a rename in `folder` last over a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def put_in_place(temporary: Path, place: Path) -> None:
    """Give a file or folder its name, flushed; what had the name before is removed afterwards.

    Raises:
        OSError: the file system refuses; what had the name has it still.
    """
    replaced: Path | None = None
    if place.is_dir() or (temporary.is_dir() and place.exists()):  # no rename puts these in each other's place
        replaced = temporary if _exchange(temporary, place) else _move_aside(place)
    if replaced is not temporary:
        try:
            os.replace(temporary, place)
        except OSError:
            if replaced is not None:
                os.replace(replaced, place)
            raise
    flush_folder(place.parent)
    if replaced is not None:
        destroy(replaced)


def discard(path: Path, temporary: Path) -> None:
    """Remove a file, or a folder by renaming it first, so that nobody sees a part; nothing where there is nothing."""
    if path.is_dir() and not path.is_symlink():
        os.replace(path, temporary)
        flush_folder(path.parent)
        destroy(temporary)
    else:
        path.unlink(missing_ok=True)


def destroy(path: Path) -> None:
    """Remove a file or folder that nobody looks at any more; what cannot be removed now is left over."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def bring_back(folder: Path) -> None:
    """Give what was moved aside by a process that was killed its name again."""
    for aside in folder.glob(f"{ASIDE}*"):
        name = aside.name.removeprefix(ASIDE).rpartition("-")[0]
        if name and not folder.joinpath(name).exists():
            os.replace(aside, folder / name)
        else:
            destroy(aside)


def _move_aside(place: Path) -> Path:
    aside = place.with_name(f"{ASIDE}{place.name}-{uuid.uuid4().hex}")
    os.replace(place, aside)
    return aside


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; return whether the system and the file system can do that."""
    if not sys.platform.startswith("linux"):
        return False
    import ctypes  # late: few runs need it

    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM):
        return False
    raise OSError(number, os.strerror(number), str(other))
