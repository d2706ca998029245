"""Rows on their way to a slow place: taken at once, written by a thread, never lost in silence."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from trainer.errors import LoggingError

Row = TypeVar("Row")

_MOST_WAITING = 100_000  # rows; then whoever logs waits for the writer


class RowQueue(Generic[Row]):
    """Takes rows without waiting; a thread passes them on, all that wait in one call and in their order.

    Where passing on fails, the rows stay. They are tried again at each `flush` and, for the last time, at `close`.

    Args:
        write: takes rows that wait; called on the thread.
        name: of the thread, and in errors.
    """

    def __init__(self, write: Callable[[Sequence[Row]], None], name: str) -> None:
        self._write = write
        self._name = name
        self._rows: deque[Row] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._process = os.getpid()
        self._is_writing = False
        self.error: Exception | None = None

    def put(self, row: Row) -> None:
        """Take one row.

        Raises:
            LoggingError: far too many rows wait, because writing fails.
        """
        with self._changed:
            if len(self._rows) >= _MOST_WAITING:
                self._changed.wait_for(lambda: len(self._rows) < _MOST_WAITING or self.error is not None)
                if self.error is not None:
                    self._refuse()
            self._rows.append(row)
            self._start()
            self._changed.notify_all()

    def _start(self) -> None:
        if self._thread is not None and self._thread.is_alive() and self._process == os.getpid():
            return
        self._process, self._is_writing = os.getpid(), False
        self._thread = threading.Thread(target=_work, args=(weakref.ref(self),), name=self._name, daemon=True)
        self._thread.start()
        # Python kills the thread when it exits; what waits then is written before.
        atexit.register(_flush_at_exit, weakref.ref(self))

    def flush(self) -> bool:
        """Wait until every row is written, or has failed again; return whether all are written."""
        with self._changed:
            if not self._rows and not self._is_writing:
                return True
            self.error = None
            self._start()
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.error is not None or not (self._rows or self._is_writing))
            return self.error is None

    def close(self) -> None:
        """Write every row.

        Raises:
            LoggingError: some could not be written.
        """
        if not self.flush():
            self._refuse()

    def _refuse(self) -> None:
        raise LoggingError(
            f"{self._name} could not write what was logged. Got {type(self.error).__name__}: {self.error}; "
            f"{len(self._rows)} rows are not written. See to the place they go to, and call `logger.save()`."
        ) from self.error

    # On the thread

    def take(self) -> list[Row] | None:
        """Return the rows that wait, None when there was nothing to do for a while."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._rows and self.error is None, timeout=1.0):
                return None
            self._is_writing = True
            return list(self._rows)

    def pass_on(self, rows: list[Row]) -> None:
        """Write rows that `take` returned; they leave the queue when they are written."""
        error: Exception | None = None
        try:
            self._write(rows)
        except Exception as raised:  # whatever a client raises is shown at the end of the run
            error = raised
        with self._changed:
            if error is None:
                for _ in rows:
                    self._rows.popleft()
            self.error, self._is_writing = error, False
            self._changed.notify_all()

    def __reduce__(self) -> tuple[Any, ...]:
        # Copies for other processes begin empty.
        return (type(self), (self._write, self._name))


def _work(reference: weakref.ref[RowQueue[Any]]) -> None:
    """Pass rows on for as long as the queue is in use; between two looks the thread does not keep it alive."""
    while (queue := reference()) is not None:
        rows = queue.take()
        if rows:
            queue.pass_on(rows)
        del queue


def _flush_at_exit(reference: weakref.ref[RowQueue[Any]]) -> None:
    queue = reference()
    if queue is not None:
        queue.flush()
