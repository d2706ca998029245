"""What takes long to make is made by one process of the tests; the others copy it."""

import fcntl
import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import pytest

T = TypeVar("T")
VALUE = "value.pickle"


@dataclass(frozen=True)
class MadeOnce(Generic[T]):
    """What was made, and this process's own copy of the files."""

    value: T
    """As it was returned: paths in it lead to `first`."""
    first: Path
    """The folder in which it was made; nobody may change it."""
    own: Path
    """A copy, to do with as one likes."""


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], T]) -> MadeOnce[T]:
    """Return what `make` returns, and a copy of the files that it wrote.

    Args:
        factory: of this process.
        name: of the folder, one for each thing that is made.
        make: is given an empty folder; runs in the first process that asks. Others wait for it.
    """
    base = factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "made-once" / name
    shared.mkdir(parents=True, exist_ok=True)
    first = shared / "folder"
    with (shared / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / VALUE).exists():
            shutil.rmtree(first, ignore_errors=True)  # of a process that failed
            first.mkdir()
            (shared / VALUE).write_bytes(pickle.dumps(make(first)))
    own = factory.mktemp(name)
    shutil.copytree(first, own, dirs_exist_ok=True, symlinks=True)
    return MadeOnce(pickle.loads((shared / VALUE).read_bytes()), first, own)
