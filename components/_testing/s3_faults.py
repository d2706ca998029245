"""Faults of an S3 server, as values: which requests they meet, how often, and what happens then."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal
from urllib.parse import parse_qs

ALWAYS = None
"""`times=ALWAYS`: until the fault is taken away."""
Kind = Literal["status", "hang", "cut_body", "reset", "lose_answer", "stale_listing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Fault:
    """What happens to the requests that it meets. Make one with the functions below."""

    kind: Kind
    operations: tuple[str, ...] = ()
    """S3's own names, e.g. `PutObject`; empty means every one (for some kinds: every one that makes sense)."""
    keys: str = "*"
    """Pattern (`*`, `?`, `[...]`) of the object's key, without the bucket."""
    times: int | None = 1
    """How many requests it meets before it is over; ALWAYS for no end."""
    after: int = 0
    """How many requests that it could meet are let pass first."""
    status: int = 503
    code: str = "SlowDown"
    seconds: float = 3600.0
    bytes: int = 0

    def meets(self, operation: str, key: str) -> bool:
        """Return whether it is meant for this request."""
        return (not self.operations or operation in self.operations) and fnmatchcase(key, self.keys)


def slow_down(*, operations: tuple[str, ...] = (), keys: str = "*", times: int | None = 1, after: int = 0) -> S3Fault:
    """Return the fault of a busy server: 503 SlowDown."""
    return S3Fault(kind="status", operations=operations, keys=keys, times=times, after=after)


def failing(
    status: int, code: str, *, operations: tuple[str, ...] = (), keys: str = "*", times: int | None = 1, after: int = 0
) -> S3Fault:
    """Return a fault that answers with `status` and S3's error `code`, e.g. 500 InternalError or 403 AccessDenied."""
    return S3Fault(kind="status", status=status, code=code, operations=operations, keys=keys, times=times, after=after)


def hang(
    seconds: float = 3600.0,
    *,
    operations: tuple[str, ...] = (),
    keys: str = "*",
    times: int | None = 1,
    after: int = 0,
) -> S3Fault:
    """Return a fault that keeps the connection open and says nothing for so long, or until the server is stopped."""
    return S3Fault(kind="hang", seconds=seconds, operations=operations, keys=keys, times=times, after=after)


def cut_body(bytes: int = 1, *, keys: str = "*", times: int | None = 1, after: int = 0) -> S3Fault:
    """Return a fault that sends so many bytes of an object, of the length that it announced, and hangs up."""
    return S3Fault(kind="cut_body", operations=("GetObject",), keys=keys, times=times, after=after, bytes=bytes)


def reset(*, operations: tuple[str, ...] = (), keys: str = "*", times: int | None = 1, after: int = 0) -> S3Fault:
    """Return a fault that resets the connection before the server has done anything."""
    return S3Fault(kind="reset", operations=operations, keys=keys, times=times, after=after)


def lose_answer(*, operations: tuple[str, ...] = (), keys: str = "*", times: int | None = 1, after: int = 0) -> S3Fault:
    """Return a fault that lets the server act and resets the connection instead of answering."""
    return S3Fault(kind="lose_answer", operations=operations, keys=keys, times=times, after=after)


def abandon_upload(*, after_parts: int = 1, keys: str = "*") -> tuple[S3Fault, ...]:
    """Return faults that break multipart uploads for good after some parts: neither completed nor aborted."""
    never = ("CompleteMultipartUpload", "AbortMultipartUpload")
    return (
        S3Fault(kind="reset", operations=("UploadPart",), keys=keys, times=ALWAYS, after=after_parts),
        S3Fault(kind="reset", operations=never, keys=keys, times=ALWAYS),
    )


def stale_listing(*, times: int | None = ALWAYS) -> S3Fault:
    """Return a fault that answers listings as if nothing had been written or deleted since it was injected."""
    return S3Fault(kind="stale_listing", operations=("ListObjects", "ListObjectsV2"), times=times)


def operation_of(method: str, key: str, query: str, headers: Mapping[str, str]) -> str:
    """Return S3's name of the operation that a request asks for, or METHOD where it has none that homeroom uses."""
    asked = parse_qs(query, keep_blank_values=True)
    if not key:
        if method == "GET":
            if "uploads" in asked:
                return "ListMultipartUploads"
            return "ListObjectsV2" if asked.get("list-type") == ["2"] else "ListObjects"
        named = {"PUT": "CreateBucket", "DELETE": "DeleteBucket", "HEAD": "HeadBucket"}
        return "DeleteObjects" if method == "POST" and "delete" in asked else named.get(method, method)
    if "uploadId" in asked:
        named = {
            "PUT": "UploadPart",
            "POST": "CompleteMultipartUpload",
            "DELETE": "AbortMultipartUpload",
            "GET": "ListParts",
        }
        return named.get(method, method)
    if method == "POST" and "uploads" in asked:
        return "CreateMultipartUpload"
    if method == "PUT" and any(name.lower() == "x-amz-copy-source" for name in headers):
        return "CopyObject"
    named = {"PUT": "PutObject", "GET": "GetObject", "HEAD": "HeadObject", "DELETE": "DeleteObject"}
    return named.get(method, method)
