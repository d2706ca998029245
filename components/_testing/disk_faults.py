"""A disk that fails: ENOSPC, EIO or another error at the n-th step by which a store writes below one folder."""

import errno
import functools
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from components.places import disk

DISK_STEPS = ("make_folder", "create", "write", "copy", "flush", "rename", "link", "flush_folder")
"""The steps of writing, as `components/places/disk.py` names them."""

TWO_NAMES = ("copy", "rename", "link")


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskStep:
    """One step that was made to fail."""

    step: str
    path: str


class DiskFaults:
    """While it is entered, writes of every store below `folder` in this process fail as said.

    A write that fails leaves half of its bytes, as a full disk does. To try every step of an action, count up `at`
    until nothing is injected any more:

        for at in itertools.count(1):
            with DiskFaults(folder, at=at) as faults:
                ...
            if not faults.injected:
                break

    Args:
        folder: what lies below it is concerned.
        error: the number from `errno` that the failing step raises.
        at: the first step that fails, counted from 1 among the concerned ones.
        times: how many fail from there on; None means all, until the end of the `with`.
        steps: which steps are concerned; see DISK_STEPS.

    Attributes:
        injected: what was made to fail, in order.
        seen: how many concerned steps there were.

    Raises:
        ValueError: `at` is not positive, or a step is unknown.
    """

    def __init__(
        self,
        folder: Path,
        *,
        error: int = errno.ENOSPC,
        at: int = 1,
        times: int | None = 1,
        steps: tuple[str, ...] = DISK_STEPS,
    ) -> None:
        unknown = sorted(set(steps) - set(DISK_STEPS))
        if unknown or at < 1:
            raise ValueError(
                f"at={at}, steps={unknown or steps}: expected at >= 1 and steps of {', '.join(DISK_STEPS)}."
            )
        self.injected: list[DiskStep] = []
        self.seen = 0
        self._folder = folder.absolute()
        self._error = error
        self._at = at
        self._times = times
        self._steps = steps
        self._lock = threading.Lock()
        self._originals: dict[str, Callable[..., Any]] = {}

    def __enter__(self) -> Self:
        for step in self._steps:
            self._originals[step] = getattr(disk, step)
            setattr(disk, step, self._wrapped(step, self._originals[step]))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for step, original in self._originals.items():
            setattr(disk, step, original)

    def _wrapped(self, step: str, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def call(*args: Any) -> Any:  # Any: the signatures of all steps
            first = args[0]
            path = args[1] if step in TWO_NAMES else Path(first if isinstance(first, Path) else first.name)
            if step == "make_folder" and path.is_dir():
                return original(*args)  # nothing to be made
            if not self._is_due(step, path):
                return original(*args)
            if step == "write":
                original(first, args[1][: len(args[1]) // 2])
            raise OSError(self._error, os.strerror(self._error), str(path))

        return call

    def _is_due(self, step: str, path: Path) -> bool:
        if not path.absolute().is_relative_to(self._folder):
            return False
        with self._lock:
            self.seen += 1
            due = self.seen >= self._at and (self._times is None or len(self.injected) < self._times)
            if due:
                self.injected.append(DiskStep(step=step, path=str(path)))
        return due
