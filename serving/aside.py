"""Work beside the main thing, in a thread of its own: it may hang or fail, and nothing waits for it."""

import contextlib
import logging
import os
import threading
from collections import deque
from collections.abc import Callable

log = logging.getLogger("homeroom.serving")
NICE = 10
"""Priority of the thread, as `nice` counts: a low one."""


class Aside:
    """Makes calls one after the other, in order, in a thread that is there as long as one waits.

    Args:
        name: of the thread; says in the log which one failed.
        most: calls that may wait; None: any number.
    """

    def __init__(self, name: str, most: int | None = None) -> None:
        self._name = name
        self._most = most
        self._lock = threading.Lock()
        self._waiting: deque[Callable[[], object]] = deque()
        self._thread: threading.Thread | None = None

    def soon(self, call: Callable[[], object]) -> bool:
        """Have a call made and return at once: whether there was room for it. Of what it raises the kind is logged."""
        with self._lock:
            if self._most is not None and len(self._waiting) >= self._most:
                return False
            self._waiting.append(call)
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._thread.start()
        return True

    def wait(self, most_s: float = 5.0) -> None:
        """Wait so long, seconds, until all calls were made."""
        thread = self._thread
        if thread is not None:
            thread.join(most_s)

    def _work(self) -> None:
        with contextlib.suppress(OSError, AttributeError):  # not every system has priorities of threads
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        while True:
            with self._lock:
                if not self._waiting:
                    self._thread = None
                    return
                call = self._waiting.popleft()
            try:
                call()
            except Exception as error:  # whatever it is; the message may hold an address or a student's data
                log.error("%s in %s", type(error).__name__, self._name)
