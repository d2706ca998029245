"""The file of access keys: JSON of mode 0600 that holds who may ask, and nothing that lets its reader ask.

    {"format": 1, "keys": [{"id", "sha256", "client", "roles", "district", "rate", "burst", "created", "expires",
    "revoked"}], "issuers": [...]}

`issuers` are those whose tokens (JWT) count: `serving.access.tokens`.
"""

import contextlib
import fcntl
import json
import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from serving.access.clients import CLIENT_ID, Client, Role
from serving.access.keys import AccessKey
from serving.access.tokens import Issuer, IssuerSettings
from serving.errors import AccessFileError

FORMAT = 1
LARGEST_FILE_BYTES = 8_000_000
HEADING = {"format": FORMAT, "keys": [], "issuers": []}


def _is_client_id(text: str) -> str:
    if not CLIENT_ID.fullmatch(text):
        raise ValueError("expected 1 to 64 letters, digits and . _ @ : -, a letter or digit first")
    return text


ClientId = Annotated[str, AfterValidator(_is_client_id)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _StoredKey(_Strict):
    id: str = Field(pattern=r"^[0-9a-f]{12}$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    client: ClientId
    roles: list[Role] = Field(min_length=1)
    district: ClientId | None = None
    rate: float = Field(default=20.0, gt=0, le=1e6, allow_inf_nan=False)
    burst: int = Field(default=40, ge=1, le=1_000_000)
    created: Annotated[datetime, Field(strict=False)]
    expires: Annotated[datetime, Field(strict=False)] | None = None
    revoked: Annotated[datetime, Field(strict=False)] | None = None


class _Stored(_Strict):
    format: Literal[1]
    keys: list[_StoredKey]
    issuers: list[IssuerSettings] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessFile:
    """What the file says."""

    keys: tuple[AccessKey, ...] = ()
    issuers: tuple[Issuer, ...] = ()

    def of_client(self, client: str, now: datetime) -> tuple[AccessKey, ...]:
        """Return the keys of a client that count at `now`."""
        return tuple(key for key in self.keys if key.client.id == client and not key.problem_at(now))


def read_access_file(path: Path) -> AccessFile:
    """Return what the file says.

    Raises:
        AccessFileError: it is not there, cannot be read, others may write to it, or it makes no sense; what is wrong is
            told by place and rule, never by value.
    """
    try:
        with path.open("rb") as stream:
            status = os.fstat(stream.fileno())
            body = stream.read(LARGEST_FILE_BYTES + 1)
    except OSError as error:
        raise AccessFileError(
            f"The file of access keys {path} cannot be read: {error.strerror or error}. `homeroom keys add` makes one."
        ) from error
    if not stat.S_ISREG(status.st_mode) or len(body) > LARGEST_FILE_BYTES:
        raise AccessFileError(f"{path} is no file of access keys: it is no file, or over {LARGEST_FILE_BYTES} bytes.")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise AccessFileError(
            f"Others may write to the file of access keys {path}, and so let in whom they like. `chmod 600` it, and "
            "look through `homeroom keys list` first."
        )
    return parsed(body, path)


def parsed(body: bytes, path: Path) -> AccessFile:
    """Return what the text of a file says. Raises AccessFileError."""
    try:
        stored = _Stored.model_validate_json(body)
        keys = tuple(_key_of(one) for one in stored.keys)
        issuers = tuple(Issuer.of(one) for one in stored.issuers)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'the file'}: {one['msg']}"
            for one in error.errors(include_input=False, include_url=False)[:5]
        )
        raise AccessFileError(
            f"The file of access keys {path} makes no sense: {problems}. Restore it from a copy, or mend it."
        ) from None  # the chain would hold the values
    except ValueError as error:
        raise AccessFileError(f"The file of access keys {path} makes no sense: {error}") from None
    ids = [key.id for key in keys]
    if len(ids) != len(set(ids)):
        raise AccessFileError(f"The file of access keys {path} has a key id twice. Restore it from a copy, or mend it.")
    return AccessFile(keys=keys, issuers=issuers)


@contextlib.contextmanager
def edited(path: Path) -> Iterator[list[AccessKey]]:
    """Give the keys of a file as a list to change; they are written back in one step, with mode 0600, at the end.

    Who else edits the file waits. A file that is not there is made. Issuers stay as they are.

    Raises:
        AccessFileError: the file cannot be read or written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with path.with_name(f".{path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            there = path.exists()
            keys = list(read_access_file(path).keys) if there else []
            value = json.loads(path.read_bytes()) if there else dict(HEADING)
            yield keys
            value["keys"] = [_to_json(key) for key in keys]
            _replace(path, json.dumps(value, indent=1).encode() + b"\n")
    except OSError as error:
        raise AccessFileError(
            f"The file of access keys {path} cannot be written: {error.strerror or error}. Name another with --file."
        ) from error


def _replace(path: Path, body: bytes) -> None:
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(body)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _key_of(one: _StoredKey) -> AccessKey:
    for name in ("created", "expires", "revoked"):
        when: datetime | None = getattr(one, name)
        if when is not None and when.tzinfo is None:
            raise ValueError(f"the time `{name}` of key {one.id} has no zone; write it as 2027-01-31T12:00:00+00:00.")
    client = Client(id=one.client, roles=frozenset(one.roles), district=one.district, rate=one.rate, burst=one.burst)
    return AccessKey(
        id=one.id,
        sha256=bytes.fromhex(one.sha256),
        client=client,
        created=one.created,
        expires=one.expires,
        revoked=one.revoked,
    )


def _to_json(key: AccessKey) -> dict[str, object]:
    return {
        "id": key.id,
        "sha256": key.sha256.hex(),
        "client": key.client.id,
        "roles": sorted(key.client.roles),
        "district": key.client.district,
        "rate": key.client.rate,
        "burst": key.client.burst,
        "created": key.created.isoformat(),
        "expires": None if key.expires is None else key.expires.isoformat(),
        "revoked": None if key.revoked is None else key.revoked.isoformat(),
    }
