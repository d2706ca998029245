"""Does a service that runs answer as well? Asked again and again, beside the loop that watches the processes."""

import ssl
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException

ANSWER_S = 2.0


def answers(url: str, timeout_s: float = ANSWER_S) -> bool:
    """Return whether an address answers with success; proxies of the environment are not asked.

    A certificate is not checked: it is made out to the name that clients use, and this asks a process of our own.
    """
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=_unchecked())
    )
    try:
        with opener.open(url, timeout=timeout_s) as answer:
            return bool(answer.status == 200)
    except (OSError, HTTPException):  # HTTPException: what came is no HTTP
        return False


def _unchecked() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """When a process that lives is taken for hung."""

    every_s: float
    """How often it is asked, and how long it may take to answer."""
    misses: int
    """So many missed answers in a row, and it hangs."""
    start_s: float
    """How long it may take until its first answer."""


class Probe:
    """Asks one address whether its process lives. Only one thread may call `begin` and `is_hung`, which never wait.

    Args:
        url: answers 200 as long as the process works, whether it is ready or not.
        patience: see there.
        ask: returns whether an address answers in so many seconds.
        clock: seconds that only grow.
        start: has a function done, now or in a thread.
    """

    def __init__(
        self,
        url: str,
        patience: Patience,
        *,
        ask: Callable[[str, float], bool] = answers,
        clock: Callable[[], float] = time.monotonic,
        start: Callable[[Callable[[], None]], None] = lambda work: threading.Thread(target=work, daemon=True).start(),
    ) -> None:
        self.url = url
        self.missed = 0
        """Answers in a row."""
        self._patience = patience
        self._ask, self._clock, self._start = ask, clock, start
        self._life = 0
        self._answers: list[tuple[int, bool]] = []
        """Answers that were not looked at yet, each with the life of the process that was asked."""
        self.begin()

    def begin(self) -> None:
        """Take up a process that was just started."""
        self._life += 1
        self._began = self._due = self._clock()
        self._is_asking = self._has_answered = False
        self.missed = 0

    def is_hung(self) -> bool:
        """Ask again where it is time to; return whether the process did not answer for too long."""
        now = self._clock()
        while self._answers:
            life, has_answered = self._answers.pop(0)
            if life != self._life:
                continue
            self._is_asking = False
            self._has_answered |= has_answered
            is_starting = not self._has_answered and now - self._began < self._patience.start_s
            self.missed = 0 if has_answered or is_starting else self.missed + 1
        if not self._is_asking and now >= self._due:
            self._is_asking, self._due = True, now + self._patience.every_s
            life = self._life
            self._start(lambda: self._answers.append((life, self._ask(self.url, self._patience.every_s))))
        return self.missed >= self._patience.misses
