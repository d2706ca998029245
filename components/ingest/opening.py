"""Opening a file wherever it lies: on this machine, in S3, or where else fsspec reaches."""

from collections.abc import Iterator
from typing import Any

from components.digests import CHUNK_BYTES
from components.places.explaining import CutShortError
from components.places.s3 import S3Limits, chunks_of, is_s3, open_s3


def open_file_system(uri: str) -> tuple[Any, str, bool]:  # Any: fsspec ships no types
    """Return the file system of `uri`, the path in it, and whether it is this machine's own."""
    import fsspec  # late: costs time that a run without new files need not spend

    options: dict[str, Any] = {"use_listings_cache": False}  # Any: options of every file system
    if is_s3(uri):
        return (*open_s3(uri, S3Limits.from_environment(), options), False)
    file_system, path = fsspec.core.url_to_fs(uri, **options)
    protocols = file_system.protocol if isinstance(file_system.protocol, tuple) else (file_system.protocol,)
    return file_system, path, "file" in protocols


def read_chunks(uri: str) -> Iterator[bytes]:
    """Yield a file's bytes, piece by piece and whole.

    Raises:
        CutShortError: fewer bytes came than the file has, in every attempt.
    """
    file_system, path, _ = open_file_system(uri)
    if is_s3(uri):
        yield from chunks_of(file_system, path, S3Limits.from_environment())
        return
    size, come = file_system.info(path).get("size"), 0  # a web server need not say
    with file_system.open(path, "rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            come += len(chunk)
            yield chunk
    if isinstance(size, int) and come < size:
        raise CutShortError(f"{come} of {size} bytes came")
