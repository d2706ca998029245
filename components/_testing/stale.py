"""A store whose listings are old: what was written since is there, and not listed."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from components.places.place import Entry, Place
from components.store import Store


class StalePlace(Place):
    """Answers everything as the place behind it does, and listings as they were when it was made."""

    def __init__(self, behind: Place) -> None:
        self.url = behind.url
        self._behind = behind
        self._then = behind.entries("")

    def entries(self, prefix: str) -> Sequence[Entry]:
        """Return what was there then."""
        return [entry for entry in self._then if not prefix or entry.path.startswith(f"{prefix}/")]

    def put_file(self, source: Path, path: str) -> None:
        """Put it behind."""
        self._behind.put_file(source, path)

    def put_bytes(self, path: str, body: bytes, *, create: bool = False) -> None:
        """Put them behind."""
        self._behind.put_bytes(path, body, create=create)

    def get_bytes(self, path: str) -> bytes | None:
        """Get them from behind."""
        return self._behind.get_bytes(path)

    def get_file(self, path: str, target: Path) -> None:
        """Get it from behind."""
        self._behind.get_file(path, target)

    def digest(self, path: str) -> str | None:
        """Ask behind."""
        return self._behind.digest(path)

    def touch(self, path: str) -> None:
        """Touch it behind."""
        self._behind.touch(path)

    def delete(self, path: str) -> None:
        """Delete it behind."""
        self._behind.delete(path)


@contextlib.contextmanager
def stale_listings(store: Store) -> Iterator[None]:
    """Make this store's listings stay as they are now until the end of the `with`; reads and writes are as ever."""
    place = store._place
    store._place = StalePlace(place)
    try:
        yield
    finally:
        store._place = place
