"""A shadow: it answers copies of requests in a thread of its own, and only how far its scores are off is kept.

It never slows an answer: what it gets was answered already, its thread has a low priority, and while its queue is full
copies are dropped and counted.
"""

import contextlib
import logging
import os
import threading
from collections import deque
from collections.abc import Callable

from serving.bundle import Bundle
from serving.tally import Comparison, score_of

log = logging.getLogger("homeroom.serving")
MOST_WAITING = 32
NICE = 10
"""Priority of the thread, as `nice` counts: the lower one."""


class Shadow:
    """Compares one release with whatever serves.

    Args:
        bundle: answers in the shadow.
        told: is called in the shadow's thread with `compared`, `dropped` or `failed` and the difference, if any.
        most_waiting: copies that may wait.
    """

    def __init__(
        self,
        bundle: Bundle,
        told: Callable[[str, float | None], None] = lambda outcome, difference: None,
        *,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self.bundle = bundle
        self.comparison = Comparison()
        self._told = told
        self._queue: deque[tuple[bytes, float | None]] = deque()
        self._most = most_waiting
        self._changed = threading.Semaphore(0)
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="homeroom-shadow", daemon=True)
        self._thread.start()

    def offer(self, body: bytes, score: float | None) -> None:
        """Give it a request that the champion answered with this score. Returns at once."""
        if len(self._queue) >= self._most or self._closing:
            self.comparison.dropped += 1
            self._told("dropped", None)
            return
        self._queue.append((body, score))
        self._changed.release()

    def close(self) -> None:
        """End the thread after the request that it is at; what waits is forgotten."""
        self._closing = True
        self._queue.clear()
        self._changed.release()
        self._thread.join(5.0)

    def _work(self) -> None:
        with contextlib.suppress(OSError, AttributeError):  # not every system has priorities of threads
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        while True:
            self._changed.acquire()
            if self._closing:
                return
            body, score = self._queue.popleft()
            try:
                bundle = self.bundle
                answer = bundle.answers.plain(bundle.answer([bundle.requests.read(body)])[0])
            except Exception as error:  # another codec may not read it; its message may hold a student's data
                log.debug("The shadow could not answer (%s)", type(error).__name__)
                self.comparison.failed += 1
                self._told("failed", None)
                continue
            found = score_of(answer)
            self.comparison.compare(found, score)
            self._told("compared", found - score if found is not None and score is not None else None)
