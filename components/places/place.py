"""Where a store keeps its bytes: what every place promises, and a local folder with atomic writes.

`components/places/remote.py` has the other one, an fsspec file system such as S3.
"""

import errno
import os
import shutil
import uuid
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from components.digests import digest_of_file
from components.errors import StoreConflictError
from components.places import disk
from components.places.explaining import explained


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One object as a listing shows it."""

    path: str
    bytes: int
    modified: datetime | None
    """When it was written, in UTC by the place's own clock; None where the place does not say."""
    upload_id: str = ""
    """For an upload that was never completed: what its server calls it."""


class Place(ABC):
    """Reads and writes whole objects below one root; paths are relative, with forward slashes."""

    url: str

    @abstractmethod
    def put_file(self, source: Path, path: str) -> None:
        """Put a local file at `path`, whole or not at all. The source may be moved."""

    @abstractmethod
    def put_bytes(self, path: str, body: bytes, *, create: bool = False) -> None:
        """Put a small object, whole or not at all; with `create`, refuse (StoreConflictError) if there is one."""

    @abstractmethod
    def get_bytes(self, path: str) -> bytes | None:
        """Return an object's bytes, or None when there is none."""

    @abstractmethod
    def get_file(self, path: str, target: Path) -> None:
        """Copy an object to a local file."""

    @abstractmethod
    def digest(self, path: str) -> str | None:
        """Return the SHA-256 of an object, read anew, or None when there is none."""

    def list(self, prefix: str) -> list[str]:
        """Return all paths below the folder `prefix`, sorted, as they are now."""
        return [entry.path for entry in self.entries(prefix)]

    @abstractmethod
    def entries(self, prefix: str) -> Sequence[Entry]:
        """Return all objects below the folder `prefix`, by path, with their sizes and ages."""

    @abstractmethod
    def touch(self, path: str) -> None:
        """Make the object at `path` new, empty where there was none. It may be lost in a power cut."""

    @abstractmethod
    def delete(self, path: str) -> None:
        """Delete an object; a missing one is no error."""

    def drop_empty(self, folder: str) -> None:
        """Delete the empty folders at and below `folder`; a place without folders has none."""
        return None

    def uploads(self) -> Sequence[Entry]:
        """Return the uploads below the root that were begun and never completed; their bytes cost and are invisible."""
        return []

    def abort_upload(self, upload: Entry) -> None:
        """Forget such an upload; a missing one is no error."""
        return None


class LocalPlace(Place):
    """A folder. Writes go to `tmp/`, are flushed to the disk, and are renamed into place."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = str(root)

    def put_file(self, source: Path, path: str) -> None:
        """Rename the file into place when it is on the same disk, else copy it first."""
        with explained(self.url, path, writing=True):
            target = self._parent(path)
            os.utime(source)  # its age counts from its arrival, not from when the stage wrote it
            try:
                disk.flush(source)
                disk.rename(source, target)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                part = self._part()
                try:
                    disk.copy(source, part)
                    disk.flush(part)
                    disk.rename(part, target)
                finally:
                    part.unlink(missing_ok=True)
            disk.flush_folder(target.parent)

    def put_bytes(self, path: str, body: bytes, *, create: bool = False) -> None:
        """Write to a temporary file, flush, then rename; with `create`, link, which fails if the name exists."""
        with explained(self.url, path, writing=True):
            target = self._parent(path)
            part = self._part()
            try:
                with disk.create(part) as stream:
                    disk.write(stream, body)
                disk.flush(part)
                if create:
                    try:
                        disk.link(part, target)
                    except FileExistsError:
                        raise StoreConflictError(f"{path} exists already in {self.url}.") from None
                else:
                    disk.rename(part, target)
            finally:
                part.unlink(missing_ok=True)
            disk.flush_folder(target.parent)

    def get_bytes(self, path: str) -> bytes | None:
        """Read the file, or return None."""
        with explained(self.url, path):
            try:
                return (self.root / path).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def get_file(self, path: str, target: Path) -> None:
        """Copy the file."""
        with explained(self.url, path):
            shutil.copyfile(self.root / path, target)

    def digest(self, path: str) -> str | None:
        """Hash the file."""
        with explained(self.url, path):
            try:
                return digest_of_file(self.root / path)
            except (FileNotFoundError, NotADirectoryError):
                return None

    def entries(self, prefix: str) -> Sequence[Entry]:
        """Walk the folder; what vanishes meanwhile is left out."""
        found = []
        with explained(self.url, prefix):
            for folder, _, names in os.walk(self.root / prefix, onerror=_unless_gone):
                for name in names:
                    path = Path(folder, name)
                    try:
                        status = path.stat()
                    except FileNotFoundError:
                        continue
                    modified = datetime.fromtimestamp(status.st_mtime, UTC)
                    relative = path.relative_to(self.root).as_posix()
                    found.append(Entry(path=relative, bytes=status.st_size, modified=modified))
        return sorted(found, key=lambda entry: entry.path)

    def touch(self, path: str) -> None:
        """Set the file's time; nothing is flushed."""
        with explained(self.url, path, writing=True):
            self._parent(path).touch()

    def delete(self, path: str) -> None:
        """Unlink the file."""
        with explained(self.url, path):
            (self.root / path).unlink(missing_ok=True)

    def drop_empty(self, folder: str) -> None:
        """Delete from the bottom up; a folder that is not empty stays."""
        for path, _, _ in os.walk(self.root / folder, topdown=False):
            try:
                os.rmdir(path)
            except OSError:
                continue

    def _parent(self, path: str) -> Path:
        target = self.root / path
        disk.make_folder(target.parent)
        return target

    def _part(self) -> Path:
        folder = self.root / "tmp"
        disk.make_folder(folder)
        return folder / f"{uuid.uuid4().hex}.part"


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error
