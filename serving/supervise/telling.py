"""Telling of what the supervisor wrote, in a thread of its own: whoever is told may hang or fail, and nothing waits."""

import logging
import queue
import threading
from collections.abc import Callable

from serving.registry import State

log = logging.getLogger("homeroom.serving")
Told = Callable[[State, State], None]
"""Is called with the entry before and the one that was written."""


class Teller:
    """Calls `told` once for each entry, in order, in a thread that begins with the first.

    Args:
        told: what it raises is logged, by kind.
    """

    def __init__(self, told: Told) -> None:
        self._told = told
        self._waiting: queue.SimpleQueue[tuple[State, State] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def tell(self, before: State, written: State) -> None:
        """Have it told. Returns at once."""
        self._waiting.put((before, written))
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="homeroom-teller", daemon=True)
            self._thread.start()

    def close(self, wait_s: float = 5.0) -> None:
        """Wait so long, seconds, until everything was told."""
        self._waiting.put(None)
        if self._thread is not None:
            self._thread.join(wait_s)

    def _work(self) -> None:
        while (entry := self._waiting.get()) is not None:
            try:
                self._told(*entry)
            except Exception as error:  # whatever it is, the entry stands; the message may hold an address
                log.error("%s while telling of entry %d", type(error).__name__, entry[1].number)
