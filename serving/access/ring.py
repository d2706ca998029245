"""The keys that count now: read again when their file changes, without a restart; a damaged file changes nothing."""

import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from serving.access.clients import Client
from serving.access.file import AccessFile, read_access_file
from serving.access.keys import AccessKey, found_key, looks_like_key
from serving.access.tokens import read_token
from serving.errors import AccessFileError

log = logging.getLogger("homeroom.access")
LOOK_EVERY_S = 1.0
"""How long a change of the file may go unnoticed."""
MOST_REMEMBERED = 1_024
"""Tokens whose signature need not be checked again; a signature costs a hundred times a look."""


class KeyRing:
    """Tells who a key or token belongs to. Used by one thread, that of the event loop.

    Args:
        path: the file of access keys.
        clock: seconds since 1970; tests turn it.

    Raises:
        AccessFileError: the file cannot be read now; later the last good state counts on.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._seen = _state_of(path)
        self._looked = time.monotonic()
        self.problem = ""
        """Why the file as it is now does not count; empty where it does."""
        self._take(read_access_file(path))

    def client_of(self, credential: str) -> Client | None:
        """Return the client that a key or token belongs to, or None where it does not count (any more)."""
        self._look()
        if looks_like_key(credential):
            key = found_key(credential, self._keys, self._now())
            return None if key is None else key.client
        return self._of_token(credential)

    def key_of(self, credential: str) -> AccessKey | None:
        """Return what is stored of a key, or None where it does not count."""
        self._look()
        return found_key(credential, self._keys, self._now())

    def key_named(self, key_id: str) -> AccessKey | None:
        """Return what is stored of the key with an id, or None where there is none or it does not count."""
        self._look()
        key = self._keys.get(key_id)
        return None if key is None or key.problem_at(self._now()) else key

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)

    def _of_token(self, token: str) -> Client | None:
        name = hashlib.sha256(token.encode("ascii", "replace")).digest()
        known = self._tokens.get(name)
        if known is None:
            known = read_token(token, self._issuers)
            if known is None:
                return None
            self._tokens[name] = known
            if len(self._tokens) > MOST_REMEMBERED:
                self._tokens.popitem(last=False)
        client, until = known
        if until <= self._clock():
            del self._tokens[name]
            return None
        return client

    def _look(self) -> None:
        now = time.monotonic()
        if now - self._looked < LOOK_EVERY_S:
            return
        self._looked = now
        state = _state_of(self._path)
        if state == self._seen:
            return
        self._seen = state
        try:
            self._take(read_access_file(self._path))
        except AccessFileError as error:
            self.problem = str(error)
            log.error("The access keys stay as they were: %s", error)
        else:
            self.problem = ""
            log.info("The access keys were read again: %d keys, %d issuers", len(self._keys), len(self._issuers))

    def _take(self, found: AccessFile) -> None:
        self._keys: dict[str, AccessKey] = {key.id: key for key in found.keys}
        self._issuers = found.issuers
        self._tokens: OrderedDict[bytes, tuple[Client, float]] = OrderedDict()  # who signed may not count any more


def _state_of(path: Path) -> tuple[int, ...] | None:
    """Return what changes when the file does, or None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size, status.st_mode
