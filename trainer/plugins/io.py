"""How checkpoints get to their files and back."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from trainer.checkpoints.files import WRITERS, check_plain, load_checkpoint, remove_checkpoint, save_checkpoint
from trainer.data.transfer import map_tensors
from trainer.types import PlainState


class CheckpointIO(ABC):
    """Writes, reads and removes checkpoints; subclass it for a place of your own."""

    @abstractmethod
    def save_checkpoint(self, checkpoint: PlainState, path: str | Path, storage_options: Any = None) -> None:
        """Write `checkpoint` to `path`; called on rank zero."""

    @abstractmethod
    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> PlainState:
        """Return the checkpoint at `path`."""

    @abstractmethod
    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove the checkpoint at `path`."""

    def teardown(self) -> None:  # noqa: B027 - most have nothing to do here
        """Called when a run ends."""


class TorchCheckpointIO(CheckpointIO):
    """One file, or one object behind a URL of fsspec, written whole or not at all, verified when it is read."""

    def save_checkpoint(self, checkpoint: PlainState, path: str | Path, storage_options: Any = None) -> None:
        """Write the file.

        Raises:
            TypeError: `storage_options` is given.
            CheckpointError: the checkpoint is not plain, or the file system refuses.
        """
        if storage_options is not None:
            raise TypeError(
                f"Files take no storage options. Got {storage_options!r}; expected None. Pass a CheckpointIO of your "
                "own as a plugin of the trainer."
            )
        save_checkpoint(checkpoint, path)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> PlainState:
        """Return the checkpoint, read as plain data."""
        return load_checkpoint(path, "cpu" if map_location is None else map_location)

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove the file, if it is there."""
        remove_checkpoint(path)


class AsyncCheckpointIO(CheckpointIO):
    """Writes in a thread while training goes on, from a copy taken at once.

    One checkpoint is on its way at most: the next waits for it, so that memory holds one copy. What goes wrong in the
    thread is raised at the next save, or at the end of the run.

    Args:
        checkpoint_io: what writes in the thread.

    Attributes:
        staged: the copies of a sharded checkpoint's tensors, whose memory the next one uses again.
    """

    def __init__(self, checkpoint_io: CheckpointIO | None = None) -> None:
        self.checkpoint_io: CheckpointIO = TorchCheckpointIO() if checkpoint_io is None else checkpoint_io
        self.staged: dict[str, Tensor] = {}
        self._executor: ThreadPoolExecutor | None = None
        self._pending: Future[None] | None = None

    def save_checkpoint(self, checkpoint: PlainState, path: str | Path, storage_options: Any = None) -> None:
        """Copy the checkpoint and write the copy in the thread."""
        self.wait()
        check_plain(checkpoint)
        copy = map_tensors(_snapshot, checkpoint)
        self.after(partial(self.checkpoint_io.save_checkpoint, copy, os.fspath(path), storage_options))

    def after(self, work: Callable[[], None]) -> None:
        """Let the thread do something when all that it was given before is done; not where that failed."""
        if self._executor is None:
            self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
            WRITERS.append(self.wait)  # a link to a file waits for the file
        self._pending = self._executor.submit(_in_order, self._pending, work)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> PlainState:
        """Return the checkpoint, after everything is written."""
        self.wait()
        return self.checkpoint_io.load_checkpoint(path, map_location, weights_only)

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove the checkpoint, after everything is written."""
        self.wait()
        self.checkpoint_io.remove_checkpoint(path)

    def wait(self) -> None:
        """Return when the checkpoint on its way is written; raise what went wrong."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def teardown(self) -> None:
        """Write what is on its way and end the thread."""
        try:
            self.wait()
        finally:
            if self._executor is not None:
                WRITERS.remove(self.wait)
                self._executor.shutdown()
                self._executor = None
            self.staged.clear()
            self.checkpoint_io.teardown()


def _in_order(before: Future[None] | None, work: Callable[[], None]) -> None:
    if before is not None:
        before.result()
    work()


def _snapshot(tensor: Tensor) -> Tensor:
    return tensor.detach().clone()
