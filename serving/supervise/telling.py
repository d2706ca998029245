"""Telling of what the supervisor wrote, in a thread of its own: whoever is told may hang or fail, and nothing waits."""

import logging
import threading
from collections import deque
from collections.abc import Callable
from functools import partial

from serving.registry import State

log = logging.getLogger("homeroom.serving")
Told = Callable[[State, State], None]
"""Is called with the entry before and the one that was written."""


class Teller:
    """Calls `told` once for each entry, in order, in a thread that is there as long as something waits.

    Args:
        told: what it raises is logged, by kind. None: nobody is told.
    """

    def __init__(self, told: Told | None) -> None:
        self._told = told
        self._lock = threading.Lock()
        self._waiting: deque[tuple[State, State]] = deque()
        self._thread: threading.Thread | None = None

    def tell(self, before: State, written: State) -> None:
        """Have it told. Returns at once."""
        if self._told is None:
            return
        with self._lock:
            self._waiting.append((before, written))
            if self._thread is None:
                work = partial(self._work, self._told)
                self._thread = threading.Thread(target=work, name="homeroom-teller", daemon=True)
                self._thread.start()

    def close(self, wait_s: float = 5.0) -> None:
        """Wait so long, seconds, until everything was told."""
        thread = self._thread
        if thread is not None:
            thread.join(wait_s)

    def _work(self, told: Told) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._thread = None
                    return
                before, written = self._waiting.popleft()
            try:
                told(before, written)
            except Exception as error:  # whatever it is, the entry stands; the message may hold an address
                log.error("%s while telling of entry %d", type(error).__name__, written.number)
