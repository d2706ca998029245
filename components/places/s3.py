"""How S3 is asked: how long an answer may take, how often a request is repeated, and whole reads of what is there.

Three layers could repeat a request: botocore, s3fs and we. botocore repeats single requests (also each part of a
multipart upload) after 500, 503, SlowDown, lost connections and time-outs; s3fs is told to repeat nothing; we repeat a
read whose body broke off, which botocore cannot see. `total_s` bounds all of it together.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any, Self, TypeVar

from components.errors import ConfigError
from components.places.explaining import CutShortError

T = TypeVar("T")
SLOWEST_BYTES_PER_S = 1 << 20
"""A transfer is given a second more for each of these beyond `total_s`."""
CHUNK_BYTES = 16 << 20
"""Bytes per request when a whole object is read."""
BROKEN_BODIES = frozenset({"CutShortError", "ClientPayloadError", "ResponseStreamingError", "IncompleteRead"})
"""Names of what s3fs and what it stands on raise when a body ends early."""


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Limits:
    """Limits of one operation on S3. Environment variables `HOMEROOM_S3_<NAME>` set them, e.g. HOMEROOM_S3_READ_S=10.

    They lie in the environment like S3's own AWS_* variables, as they say where and how far away the server is.
    """

    connect_s: float = 5.0
    """How long a connection may take to be made."""
    read_s: float = 30.0
    """How long the server may stay silent."""
    attempts: int = 3
    """How often one request is sent at most."""
    total_s: float = 120.0
    """How long one operation may take, with all repeats; transfers get a second more per MiB."""

    def __post_init__(self) -> None:
        wrong = [f.name for f in fields(self) if not getattr(self, f.name) > 0]
        if wrong:
            raise ConfigError(
                "; ".join(f"HOMEROOM_S3_{n.upper()}={getattr(self, n)} is not above 0" for n in wrong)
                + ". Give a positive number, or unset it."
            )

    @classmethod
    def from_environment(cls) -> Self:
        """Return the limits that the environment sets, and the defaults for the others.

        Raises:
            ConfigError: a value is no positive number; names every one.
        """
        found: dict[str, Any] = {}  # Any: int or float
        wrong = []
        for field in fields(cls):
            name = f"HOMEROOM_S3_{field.name.upper()}"
            kind = int if field.name == "attempts" else float
            try:
                if os.environ.get(name):
                    found[field.name] = kind(os.environ[name])
            except ValueError:
                wrong.append(f"{name}={os.environ[name]!r} is no {'whole ' if kind is int else ''}number")
        if wrong:
            raise ConfigError("; ".join(wrong) + ". Give a positive number, or unset it.")
        return cls(**found)

    def config_kwargs(self) -> dict[str, Any]:  # Any: botocore's configuration
        """Return what botocore is configured with.

        Its newer retry mode, `standard`, shares a quota among all requests of a process and silently stops repeating
        after some fifty of them (botocore 1.43); how often a request is sent must not depend on what happened before.
        """
        return {
            "connect_timeout": self.connect_s,
            "read_timeout": self.read_s,
            "retries": {"mode": "legacy", "total_max_attempts": self.attempts},
        }

    def repeated(self, act: Callable[[float], T], transfer_bytes: int = 0) -> T:
        """Return what `act` returns, repeating it when a body broke off, until attempts or time are used up.

        Args:
            act: is given the seconds that are left.
            transfer_bytes: how much it moves.
        """
        end = time.monotonic() + self.total_s + transfer_bytes / SLOWEST_BYTES_PER_S
        for attempt in range(1, self.attempts + 1):
            try:
                return act(max(end - time.monotonic(), 0.1))
            except Exception as error:
                pause_s = 0.1 * 2**attempt
                if not is_broken_body(error) or attempt == self.attempts or time.monotonic() + pause_s > end:
                    raise
                time.sleep(pause_s)
        raise AssertionError("the last attempt returns or raises")


def is_broken_body(error: BaseException) -> bool:
    """Return whether `error` says that a body ended early, or that the connection broke while it came."""
    return any(kind.__name__ in BROKEN_BODIES for kind in type(error).__mro__)


def is_s3(uri: str) -> bool:
    """Return whether `uri` is read and written with s3fs."""
    return uri.startswith(("s3://", "s3a://"))


def open_s3(uri: str, limits: S3Limits, options: dict[str, Any]) -> tuple[Any, str]:  # Any: fsspec ships no types
    """Return the file system and the path of an s3:// address; it repeats requests as `limits` says and no more."""
    import fsspec  # late: a local store needs none of it

    options.setdefault("config_kwargs", limits.config_kwargs())
    file_system, path = fsspec.core.url_to_fs(uri, **options)
    file_system.retries = 1
    return file_system, path


def chunks_of(file_system: Any, path: str, limits: S3Limits) -> Iterator[bytes]:  # Any: as above
    """Yield the bytes of an object on S3, range by range, each whole.

    Raises:
        FileNotFoundError: there is no such object.
        CutShortError: the server sent less than it had announced, in every attempt.
    """
    size = int(limits.repeated(lambda left_s: file_system.info(path, timeout=left_s))["size"])
    for start in range(0, size, CHUNK_BYTES):
        end = min(start + CHUNK_BYTES, size)

        def read(left_s: float, start: int = start, end: int = end) -> bytes:
            body: bytes = file_system.cat_file(path, start=start, end=end, timeout=left_s)
            if len(body) != end - start:
                raise CutShortError(f"{start + len(body)} of {size} bytes came")
            return body

        yield limits.repeated(read, end - start)
