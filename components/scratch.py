"""What a store keeps on this machine beside artifacts: folders to write in, and locks that die with their owner."""

import fcntl
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from components.errors import PipelineError, StoreError
from components.places import disk
from components.places.explaining import FULL, explained, in_words, is_disk_full


@contextmanager
def scratch_in(root: Path, url: str) -> Iterator[Path]:
    """Give an empty folder below `root/tmp` that is deleted afterwards.

    Args:
        root: of the store on this machine.
        url: of the store, for messages.

    Raises:
        StoreError: the disk is full, or the folder cannot be made.
    """
    folder = root / "tmp" / uuid.uuid4().hex
    with explained(url, "tmp", writing=True):
        disk.make_folder(folder)
    held = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network disks lock no folders: there, age alone protects it
            fcntl.flock(held, fcntl.LOCK_SH)  # garbage collection sees that its owner lives
        yield folder
    except PipelineError:
        raise
    except Exception as error:
        if is_disk_full(error):
            raise StoreError(f"A stage could not write to {folder.parent}: {in_words(error)}. {FULL}") from error
        raise
    finally:
        os.close(held)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def locked_below(root: Path, url: str, name: str, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock `root/locks/<name>.lock`; `on_wait` is called once when somebody else holds it."""
    path = root / "locks" / f"{name}.lock"
    with explained(url, f"locks/{name}.lock", writing=True):
        handle = _locked_file(path, on_wait)
    try:
        yield
    finally:
        os.close(handle)


def _locked_file(path: Path, on_wait: Callable[[], None]) -> int:
    """Return a descriptor of the file with its lock held; the file's time says since when."""
    while True:
        disk.make_folder(path.parent)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                on_wait()
                on_wait = _nothing
                fcntl.flock(handle, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle), path.stat()):  # else it was deleted while we waited
                    os.utime(handle)
                    return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _nothing() -> None:
    """Do nothing: who waits is told once."""
