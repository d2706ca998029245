"""Ed25519 signatures (RFC 8032): a private key signs releases and approvals, its public part alone checks them.

A key is one line of text, so that the kinds are told apart by what is in the file and not by its name:

    ed25519-private <64 hex digits>
    ed25519-public <64 hex digits>
    <hex digits>                      an HMAC key of homeroom 0.1, which checks releases of format 1

A file of keys to trust may hold several lines, as a store with releases from before Ed25519 needs both kinds.
"""

import hashlib
import hmac
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from components.errors import StoreError
from components.secrets import SecretKey

ED25519 = "ed25519"
HMAC = "hmac-sha256"
PRIVATE = "ed25519-private"
PUBLIC = "ed25519-public"
KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class PublicKey:
    """Checks signatures. It may be known to everybody."""

    value: bytes
    """32 bytes."""

    def __post_init__(self) -> None:
        if len(self.value) != KEY_BYTES:
            raise ValueError(f"A public key has {len(self.value)} bytes; expected {KEY_BYTES}.")

    @property
    def id(self) -> str:
        """Sixteen hex digits that name the key."""
        return hashlib.sha256(b"homeroom public key id\x00" + self.value).hexdigest()[:16]

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Return whether the owner of the private key signed this very message."""
        try:
            Ed25519PublicKey.from_public_bytes(self.value).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True

    def line(self) -> str:
        """Return it as a file holds it."""
        return f"{PUBLIC} {self.value.hex()}"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """Signs. Its bytes never show in a repr, a log, a digest or an artifact."""

    value: bytes = field(repr=False)
    """The seed, 32 bytes."""

    def __post_init__(self) -> None:
        if len(self.value) != KEY_BYTES:
            raise ValueError(f"A signing key has {len(self.value)} bytes; expected {KEY_BYTES}.")

    @classmethod
    def from_secret(cls, secret: SecretKey) -> "SigningKey":
        """Return the key that follows from a secret, under a label of its own: it gives nothing of the secret away."""
        return cls(secret.mac(b"homeroom ed25519 seed"))

    @property
    def public(self) -> PublicKey:
        """What checks its signatures."""
        return PublicKey(Ed25519PrivateKey.from_private_bytes(self.value).public_key().public_bytes_raw())

    @property
    def id(self) -> str:
        """The name of its public part."""
        return self.public.id

    def sign(self, message: bytes) -> bytes:
        """Return the signature, 64 bytes; the same for the same message."""
        return Ed25519PrivateKey.from_private_bytes(self.value).sign(message)

    def line(self) -> str:
        """Return it as a file holds it."""
        return f"{PRIVATE} {self.value.hex()}"


@dataclass(frozen=True, slots=True)
class TrustedKeys:
    """The keys that a release may be signed with."""

    public: tuple[PublicKey, ...] = ()
    secret: tuple[SecretKey, ...] = field(default=(), repr=False)
    """HMAC keys, for releases of format 1 alone."""

    @property
    def ids(self) -> str:
        """Their names, for messages."""
        return ", ".join([*(key.id for key in self.public), *(key.id for key in self.secret)]) or "none"

    def verify(self, algorithm: str, key_id: str | None, message: bytes, signature: bytes) -> bool:
        """Return whether a trusted key of this algorithm and name made the signature."""
        if algorithm == ED25519:
            return any(key.id == key_id and key.verifies(message, signature) for key in self.public)
        if algorithm == HMAC:
            return any(hmac.compare_digest(key.mac(message), signature) for key in self.secret)
        return False


Key = SecretKey | PublicKey | SigningKey | TrustedKeys


def trusted(key: Key) -> TrustedKeys:
    """Return a key as the set of keys to trust."""
    if isinstance(key, TrustedKeys):
        return key
    if isinstance(key, SecretKey):
        return TrustedKeys(secret=(key,))
    return TrustedKeys(public=(key.public if isinstance(key, SigningKey) else key,))


def read_trusted_keys(path: Path) -> TrustedKeys:
    """Return the keys in a file, one a line, of either kind. Of a private key its public part counts.

    Raises:
        StoreError: the file cannot be read, or a line of it is no key.
    """
    public: list[PublicKey] = []
    secret: list[SecretKey] = []
    lines = [line.strip() for line in _read(path).splitlines() if line.strip()]
    for number, line in enumerate(lines, start=1):
        kind, _, digits = line.rpartition(" ")
        try:
            value = bytes.fromhex(digits)
            if kind == PUBLIC:
                public.append(PublicKey(value))
            elif kind == PRIVATE:
                public.append(SigningKey(value).public)
            elif kind == "":
                secret.append(SecretKey(value))
            else:
                raise ValueError("it begins with none of the kinds")
        except ValueError as error:
            raise StoreError(
                f"Line {number} of the key file {path} is no key; expected `{PUBLIC} <hex>`, or the hex digits of an "
                "HMAC key of an older homeroom. Restore the file."
            ) from error
    if not lines:
        raise StoreError(f"The key file {path} is empty; expected a key on each line. Restore the file.")
    return TrustedKeys(tuple(public), tuple(secret))


def read_or_make_signing_key(path: Path) -> SigningKey:
    """Return the private key in a file, after making it with mode 0600, and `.pub` beside it, where there is none.

    Raises:
        StoreError: the file cannot be read or made, or holds no private key.
    """
    try:
        if not path.exists():
            write_line(path, SigningKey(secrets.token_bytes(KEY_BYTES)).line(), mode=0o600)
    except OSError as error:
        raise StoreError(f"The key file {path} could not be made: {error}. Make its folder writable.") from error
    key = read_signing_key(path)
    write_public_part(path, key)
    return key


def read_signing_key(path: Path) -> SigningKey:
    """Return the private key in a file.

    Raises:
        StoreError: the file cannot be read, or holds no private key.
    """
    kind, _, digits = _read(path).strip().partition(" ")
    try:
        if kind != PRIVATE:
            raise ValueError(f"it does not begin with {PRIVATE}")
        return SigningKey(bytes.fromhex(digits))
    except ValueError as error:
        raise StoreError(
            f"The key file {path} holds no private key ({error}); expected `{PRIVATE} <64 hex digits>`. Restore the "
            "file; with a new key, releases that were signed with the old one are refused."
        ) from error


def write_public_part(path: Path, key: SigningKey) -> Path:
    """Write the public part of the private key in `path` beside it, where it is not there yet, and return its file."""
    public = path.with_suffix(".pub")
    try:
        if not public.exists():
            write_line(public, key.public.line(), mode=0o644)
    except OSError:
        if not public.exists():  # a folder that may only be read: whoever needs the file is told then
            return public
    return public


def write_line(path: Path, *lines: str, mode: int) -> None:
    """Write a key file in one step; a file that is there stays as it is."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        os.write(handle, ("\n".join(lines) + "\n").encode("ascii"))
        os.fsync(handle)
    finally:
        os.close(handle)
    try:
        os.link(part, path)
    except FileExistsError:
        pass  # another process made it first: that one counts
    finally:
        part.unlink()


def key_lines(keys: TrustedKeys) -> Sequence[str]:
    """Return trusted keys as a file holds them."""
    return [*(key.line() for key in keys.public), *(key.value.hex() for key in keys.secret)]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        raise StoreError(f"The key file {path} could not be read: {error}. Restore the file.") from error
