"""The signals that end a process, for commands that run until they are stopped."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

STOPPING = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def stoppable() -> Iterator[None]:
    """Let the signals that end a process end this one in the usual way; afterwards they do what they did before."""
    before = {number: signal.getsignal(number) for number in STOPPING}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # `nohup` has SIGHUP ignored, and that stays
            signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, frame: object) -> None:
    """End this process in the usual way, so that what it started is stopped too."""
    for one in STOPPING:
        signal.signal(one, signal.SIG_IGN)  # a second one must not interrupt the stopping
    sys.exit(128 + number)
