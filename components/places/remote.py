"""A store's bytes on an fsspec file system such as S3: whole objects, explicit time-outs, bounded repeats."""

import contextlib
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from components.digests import CHUNK_BYTES, digest_of_chunks
from components.errors import StoreConflictError, StoreError
from components.places.explaining import CutShortError, explained, reason_for
from components.places.place import Entry, Place
from components.places.s3 import S3Limits, chunks_of, is_s3, open_s3

T = TypeVar("T")
PART_BYTES = 16 << 20
"""Files from twice this size on are uploaded to S3 in parts of it; a failed part is repeated alone."""
WRITER = "homeroom-writer"
"""Metadata of an object that was to be created: who did, as an answer may be lost after the server has acted."""
CLEAN_UP_S = 30.0
"""How long tidying after a failed upload may take; `homeroom gc` takes what it leaves."""


class RemotePlace(Place):
    """An fsspec file system such as S3. Objects go to a temporary key and are copied into place on the server.

    Args:
        url: the root, e.g. s3://bucket/prefix.
        storage_options: for fsspec.
        limits: how long S3 may take; by default what the environment says.
    """

    def __init__(self, url: str, storage_options: Mapping[str, Any], limits: S3Limits | None = None) -> None:
        import fsspec  # late: a local store needs none of it

        self.url = url.rstrip("/")
        self._limits = limits or S3Limits.from_environment()
        self._is_s3 = is_s3(url)
        # Listings are cached per instance: another writer's objects would stay invisible.
        options = {**storage_options, "use_listings_cache": False}
        try:
            if self._is_s3:
                self._fs, self._root = open_s3(self.url, self._limits, options)
            else:
                self._fs, self._root = fsspec.core.url_to_fs(self.url, **options)
        except (ImportError, ValueError) as error:
            raise StoreError(f"Cannot open the store {self.url}: {error}") from error
        except Exception as error:  # file systems of a server connect here, and raise what they like
            raise StoreError(f"Cannot open the store {self.url}: {reason_for(error)}") from error

    def put_file(self, source: Path, path: str) -> None:
        """Upload to a temporary key, check the size, copy on the server, delete the temporary key."""
        part, target = self._key(f"tmp/{uuid.uuid4().hex}.part"), self._key(path)
        size = source.stat().st_size
        chunks: dict[str, Any] = {"chunksize": PART_BYTES} if self._is_s3 else {}
        with explained(self.url, path, writing=True):
            try:
                try:
                    self._asked("put_file", str(source), part, transfer_bytes=size, **chunks)
                except FileNotFoundError:  # also when the answer to a completed upload was lost and it was sent again
                    if self._size(part) != size:
                        raise
                arrived = self._size(part)
                if arrived != size:
                    raise StoreError(
                        f"{path} arrived in {self.url} with {arrived} bytes of {size}: the upload was cut short. "
                        "Run again."
                    )
                self._asked("cp_file", part, target, transfer_bytes=size)
            except BaseException:
                self._forget_uploads(part)
                raise
            finally:
                with contextlib.suppress(Exception):
                    self._asked_once("rm_file", part, left_s=CLEAN_UP_S)

    def put_bytes(self, path: str, body: bytes, *, create: bool = False) -> None:
        """One put, which S3 makes visible whole or not at all; with `create`, a conditional put."""
        writer = uuid.uuid4().hex
        mark: dict[str, Any] = {"Metadata": {WRITER: writer}} if create and self._is_s3 else {}
        with explained(self.url, path, writing=True):
            try:
                self._asked("pipe_file", self._key(path), body, mode="create" if create else "overwrite", **mark)
            except FileExistsError:
                # Perhaps our own first attempt, whose answer was lost.
                if mark and self._asked("metadata", self._key(path)).get(WRITER) == writer:
                    return
                raise StoreConflictError(f"{path} exists already in {self.url}.") from None

    def get_bytes(self, path: str) -> bytes | None:
        """Read the object, or return None."""
        with explained(self.url, path):
            try:
                return b"".join(self._chunks(path))
            except FileNotFoundError:
                return None

    def get_file(self, path: str, target: Path) -> None:
        """Download the object; one that came with fewer bytes than it has is no copy."""
        with explained(self.url, path):
            size = self._size(self._key(path))

            def fetch(left_s: float) -> None:
                self._asked_once("get_file", self._key(path), str(target), left_s=left_s)
                if target.stat().st_size != size:
                    raise CutShortError(f"{target.stat().st_size} of {size} bytes came")

            self._limits.repeated(fetch, size)

    def digest(self, path: str) -> str | None:
        """Stream the object through the hash."""
        with explained(self.url, path):
            try:
                return digest_of_chunks(self._chunks(path))
            except FileNotFoundError:
                return None

    def entries(self, prefix: str) -> Sequence[Entry]:
        """List all keys with their sizes and times, asking the server."""
        with explained(self.url, prefix):
            try:
                found: dict[str, Any] = self._asked("find", self._key(prefix), refresh=True, detail=True)
            except FileNotFoundError:
                return []
        return [
            Entry(path=self._path(key), bytes=int(info["size"] or 0), modified=_modified(info))
            for key, info in sorted(found.items())
        ]

    def touch(self, path: str) -> None:
        """Put an empty object."""
        with explained(self.url, path, writing=True):
            self._asked("pipe_file", self._key(path), b"", mode="overwrite")

    def delete(self, path: str) -> None:
        """Delete the object."""
        with explained(self.url, path), contextlib.suppress(FileNotFoundError):
            self._asked("rm_file", self._key(path))

    def uploads(self) -> Sequence[Entry]:
        """Ask S3 for multipart uploads; other file systems keep none."""
        if not self._is_s3:
            return []
        with explained(self.url, "its unfinished uploads"):
            return self._limits.repeated(lambda left_s: self._uploads(self._key(""), left_s))

    def abort_upload(self, upload: Entry) -> None:
        """Ask S3 to forget the upload and its parts."""
        bucket, _, key = self._key(upload.path).partition("/")
        with explained(self.url, upload.path), contextlib.suppress(FileNotFoundError):
            self._asked("abort_mpu", bucket, key, upload.upload_id)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _asked(self, method: str, *args: Any, transfer_bytes: int = 0, **kwargs: Any) -> Any:  # Any: fsspec's own
        """Call a method of the file system within the limits."""
        return self._limits.repeated(
            lambda left_s: self._asked_once(method, *args, left_s=left_s, **kwargs), transfer_bytes
        )

    def _asked_once(self, method: str, *args: Any, left_s: float, **kwargs: Any) -> Any:  # Any: as above
        if self._fs.async_impl:  # others have no time-outs of ours
            kwargs["timeout"] = left_s
        call: Callable[..., Any] = getattr(self._fs, method)
        return call(*args, **kwargs)

    def _chunks(self, path: str) -> Iterator[bytes]:
        if self._is_s3:
            yield from chunks_of(self._fs, self._key(path), self._limits)
            return
        with self._fs.open(self._key(path), "rb") as stream:
            while chunk := stream.read(CHUNK_BYTES):
                yield chunk

    def _size(self, key: str) -> int:
        return int(self._asked("info", key)["size"])

    def _uploads(self, prefix: str, left_s: float) -> Sequence[Entry]:
        bucket, _, prefix = prefix.partition("/")
        answer = self._asked_once("call_s3", "list_multipart_uploads", Bucket=bucket, Prefix=prefix, left_s=left_s)
        return [
            Entry(
                path=self._path(f"{bucket}/{upload['Key']}"),
                bytes=0,
                modified=upload["Initiated"].astimezone(UTC),
                upload_id=upload["UploadId"],
            )
            for upload in answer.get("Uploads", ())
        ]

    def _forget_uploads(self, part: str) -> None:
        """Abort what a failed upload to the temporary key `part` left; s3fs does not when its time is up."""
        with contextlib.suppress(Exception):
            for upload in self._uploads(part, CLEAN_UP_S) if self._is_s3 else ():
                bucket, _, key = part.partition("/")
                self._asked_once("abort_mpu", bucket, key, upload.upload_id, left_s=CLEAN_UP_S)

    def _key(self, path: str) -> str:
        return f"{self._root.rstrip('/')}/{path}"

    def _path(self, key: str) -> str:
        return key.removeprefix(self._root.rstrip("/") + "/")


def _modified(info: Mapping[str, Any]) -> datetime | None:
    """Return the time in a listing's entry; each file system has a name of its own for it."""
    for name in ("LastModified", "last_modified", "updated", "mtime", "created"):
        value = info.get(name)
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if isinstance(value, int | float):
            value = datetime.fromtimestamp(value, UTC)
        if isinstance(value, datetime):
            return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    return None
