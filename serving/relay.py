"""Shows the log of a server's processes to whoever started it, and keeps its file small.

The processes append to one file, from whose end errors at the start are told. They keep it open, so it is emptied and
never renamed; what is written in the instant between the last read and that is lost.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

EVERY_S = 0.5
MOST_BYTES = 5_000_000
PIECE_BYTES = 65_536


class Relay:
    """Passes on what is appended to a file.

    Args:
        path: the file.
        show: takes whole lines, with their ends.
        most_bytes: once it has so many, and all of them were passed on, the file is emptied.
    """

    def __init__(self, path: Path, show: Callable[[str], None], *, most_bytes: int = MOST_BYTES) -> None:
        self._path = path
        self._show = show
        self._most = most_bytes
        self._at = 0
        self._begun = b""
        """The beginning of a line whose end is not there yet."""

    def step(self) -> None:
        """Pass on what came. Raises OSError where the file cannot be read, or nobody can be shown anything."""
        with self._path.open("rb") as stream:
            if os.fstat(stream.fileno()).st_size < self._at:  # somebody else emptied it
                self._at = 0
            stream.seek(self._at)
            while piece := stream.read(PIECE_BYTES):
                self._at += len(piece)
                lines, end, self._begun = (self._begun + piece).rpartition(b"\n")
                if end:
                    self._show((lines + end).decode(errors="replace"))
                elif len(self._begun) > PIECE_BYTES:
                    self._show(self._begun.decode(errors="replace"))
                    self._begun = b""
        if self._at >= self._most:
            os.truncate(self._path, 0)
            self._at = 0


@contextmanager
def relayed(path: Path, show: Callable[[str], None]) -> Iterator[None]:
    """Pass on what is appended to a file, in a thread, until the end of the block.

    Args:
        path: the file.
        show: takes whole lines; where it fails, as a terminal that was closed does, the lines are lost.
    """
    ending = threading.Event()

    def safely(text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            show(text)

    relay = Relay(path, safely)

    def work() -> None:
        while True:
            is_last = ending.wait(EVERY_S)
            with contextlib.suppress(OSError):
                relay.step()
            if is_last:
                return

    thread = threading.Thread(target=work, name="homeroom-log", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join(2.0)  # a terminal that takes nothing is not waited for
