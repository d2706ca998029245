"""Secret keys: random bytes kept outside the data, named by an identifier that gives nothing away."""

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from components.errors import StoreError

KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class SecretKey:
    """A key for HMAC-SHA-256. Its bytes never show in a repr, a log, a digest or an artifact."""

    value: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.value) < 16:
            raise ValueError(
                f"The key has {len(self.value)} bytes; at least 16 are needed against guessing. "
                "Delete the key file to have a new one made, or give a longer key."
            )

    @property
    def id(self) -> str:
        """Sixteen hex digits that name the key: a digest under a label of its own, useless for making pseudonyms."""
        return hashlib.sha256(b"homeroom key id\x00" + self.value).hexdigest()[:16]

    def mac(self, message: bytes) -> bytes:
        """Return HMAC-SHA-256 of `message`, 32 bytes."""
        return hmac.digest(self.value, message, "sha256")


def read_or_make_key(path: Path) -> SecretKey:
    """Return the key in a file (hex), after making it with mode 0600 where there is none.

    Raises:
        StoreError: the file cannot be read or made, or holds no key.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            write_key(path, SecretKey(secrets.token_bytes(KEY_BYTES)))
        return SecretKey(bytes.fromhex(path.read_text(encoding="ascii").strip()))
    except (OSError, ValueError) as error:
        raise StoreError(
            f"The key file {path} could not be used: {error}. Make its folder writable, or restore the file; a new key "
            "gives every student a new pseudonym."
        ) from error


def write_key(path: Path, key: SecretKey) -> None:
    """Write a key file with mode 0600, in one step; a file that is there stays as it is."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(handle, key.value.hex().encode())
        os.fsync(handle)
    finally:
        os.close(handle)
    try:
        os.link(part, path)
    except FileExistsError:
        pass  # another process made it first: that one counts
    finally:
        part.unlink()
