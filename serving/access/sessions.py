"""A person's sign-in: a cookie that says which key was typed and until when, signed; the key itself is not in it.

A cookie and not the browser's storage: no script can read it (HttpOnly), and the pages for reading, which a browser
opens by itself, work too. Other sites cannot use it: SameSite=Strict, and whatever changes something is refused unless
the browser says that our own page sent it. Nothing is stored: every request looks the key up again, so that revoking it
ends its sessions at once.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable

from serving.access.keys import AccessKey
from serving.access.ring import KeyRing

LASTS_S = 12 * 3600
"""A school day; then the key is typed again. The cookie itself goes with the browser's window."""
NAME = "homeroom-session"
LONGEST_COOKIES = 8_192


class Sessions:
    """Makes and reads session cookies.

    Args:
        ring: the keys that count.
        secret: what cookies are signed with; the workers of a server share it. None makes one for this process.
        clock: seconds since 1970.
    """

    def __init__(self, ring: KeyRing, secret: bytes | None, clock: Callable[[], float] = time.time) -> None:
        self._ring = ring
        self._secret = secrets.token_bytes(32) if secret is None else secret
        self._clock = clock

    def cookie(self, key: AccessKey, *, secure: bool) -> str:
        """Return the header `set-cookie` that signs in whoever typed `key`."""
        until = int(self._clock()) + LASTS_S
        value = f"{key.id}.{until}.{self._mac(key, until)}"
        return f"{_name(secure)}={value}; Path=/; HttpOnly; SameSite=Strict{'; Secure' if secure else ''}"

    def key_of(self, cookies: str, *, secure: bool) -> AccessKey | None:
        """Return the key that a header `cookie` was signed in with, or None where it does not count (any more)."""
        name = _name(secure)
        if name not in cookies or len(cookies) > LONGEST_COOKIES:
            return None
        values = [
            value for one, _, value in (pair.strip().partition("=") for pair in cookies.split(";")) if one == name
        ]
        parts = values[0].split(".") if len(values) == 1 else []
        if len(parts) != 3 or not parts[1].isascii() or not parts[1].isdecimal() or len(parts[1]) > 12:
            return None
        key, until = self._ring.key_named(parts[0]), int(parts[1])
        if key is None or until <= self._clock():
            return None
        return key if hmac.compare_digest(self._mac(key, until).encode(), parts[2].encode("ascii", "replace")) else None

    def _mac(self, key: AccessKey, until: int) -> str:
        message = b"homeroom session\x00%b\x00%d\x00%b" % (key.id.encode(), until, key.sha256)
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()


def ended(*, secure: bool) -> str:
    """Return the header `set-cookie` that signs out."""
    return f"{_name(secure)}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict{'; Secure' if secure else ''}"


def _name(secure: bool) -> str:
    return f"__Host-{NAME}" if secure else NAME  # the prefix: browsers take it over TLS alone, from this host alone
