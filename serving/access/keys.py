"""API keys: 32 random bytes that are shown once and stored as a digest.

The digest is plain SHA-256. Slow hashes (argon2, bcrypt) make guessing dear where people choose what is guessed; here
there are 2**256 equally likely values, none of which will ever be guessed, and a slow hash would only let everybody
who sends nonsense burn this server's processor.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from serving.access.clients import Client

KEY_BYTES = 32
PREFIX = "hr"
"""What every key begins with, so that scanners for leaked secrets know one."""
_SHAPE = re.compile(r"hr_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_NOBODYS = hashlib.sha256(b"no key has this digest").digest()
LONGEST_KEY = 4 + 12 + 43


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKey:
    """What is stored of a key: all but the key."""

    id: str
    """Twelve hex digits; they stand in the key in the clear."""
    sha256: bytes = field(repr=False)
    client: Client
    created: datetime
    expires: datetime | None = None
    revoked: datetime | None = None

    def problem_at(self, now: datetime) -> str:
        """Return why the key does not count at `now`; empty where it does."""
        if self.revoked is not None and self.revoked <= now:
            return "revoked"
        if self.expires is not None and self.expires <= now:
            return "expired"
        return ""

    def ended_by(self, when: datetime) -> "AccessKey":
        """Return the same, ending at `when` at the latest."""
        return self if self.expires is not None and self.expires <= when else replace(self, expires=when)


def new_key(client: Client, now: datetime, lifetime: timedelta | None = None) -> tuple[str, AccessKey]:
    """Return a new key for `client`, and what to store of it. The key itself is kept nowhere."""
    key_id = secrets.token_hex(6)
    key = f"{PREFIX}_{key_id}_{secrets.token_urlsafe(KEY_BYTES)}"
    expires = None if lifetime is None else now + lifetime
    return key, AccessKey(id=key_id, sha256=digest_of(key), client=client, created=now, expires=expires)


def digest_of(key: str) -> bytes:
    """Return what is stored of a key, 32 bytes."""
    return hashlib.sha256(key.encode("ascii", "replace")).digest()


def looks_like_key(text: str) -> bool:
    """Return whether `text` is meant as one of our keys."""
    return text.startswith(f"{PREFIX}_")


def found_key(text: str, keys: dict[str, AccessKey], now: datetime) -> AccessKey | None:
    """Return the stored key that `text` is, or None where it is none or does not count at `now`.

    The work is the same for an id that nobody has and for a wrong secret, and the comparison takes constant time: how
    long it takes tells nothing.
    """
    shape = _SHAPE.fullmatch(text) if len(text) <= LONGEST_KEY else None
    stored = None if shape is None else keys.get(shape[1])
    expected = _NOBODYS if stored is None else stored.sha256
    is_same = hmac.compare_digest(digest_of(text), expected)
    return stored if stored is not None and is_same and not stored.problem_at(now) else None


def now_utc() -> datetime:
    """Return the time, to the second, as it is stored."""
    return datetime.now(UTC).replace(microsecond=0)
