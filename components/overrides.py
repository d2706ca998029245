"""Teachers' overrides of machine scores: one append-only file that loses nothing, written by servers, read by ingest.

A line is `{"override": {...}, "sha256": ...}`, the digest over the canonical JSON of the override. What a crash left
half written fails its digest and is skipped and counted; the next line begins on a line of its own. Needs the standard
library alone.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from components.artifacts import canonical_json
from components.errors import StoreError

FILE = "overrides.jsonl"
"""Name of the file in the folder of a journal."""
FORMAT = 1
"""Version of an override's fields. Readers skip and count what is newer."""
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """A teacher's score in the place of the machine's, and why. Never shown or logged: it holds a student's text."""

    id: str
    """Chosen by who asks, so that asking again after a lost answer stores nothing twice."""
    made_utc: str
    application: str
    release: str
    """Version that gave the machine's score."""
    prompt: str
    text: str
    """What the student wrote, without which the next training could not use the score."""
    machine_score: float | None
    """None where the machine abstained."""
    score: float
    """The teacher's, on the rubric."""
    reason: str
    teacher: str
    """Name or id of the person who decides."""
    student: str | None = None
    """Keyed pseudonym, as ingest makes it."""
    response: str | None = None
    """Keyed pseudonym of the response, where the source names responses."""
    pseudonym_key_id: str | None = None
    """Which key made the pseudonyms."""
    format: int = FORMAT

    @classmethod
    def from_json(cls, value: Any) -> Self:  # Any: parsed JSON
        """Rebuild from plain JSON values.

        Raises:
            ValueError: it is no override, or of a newer format.
        """
        kinds = {f.name: f.type for f in fields(cls)}
        if not isinstance(value, dict) or value.get("format") != FORMAT or value.keys() != kinds.keys():
            raise ValueError("no override of this format")
        for name, of in value.items():
            number = isinstance(of, int | float) and not isinstance(of, bool)
            fits = number if name in {"score", "format"} else isinstance(of, str)
            if name == "machine_score":
                fits = number or of is None
            elif name in {"student", "response", "pseudonym_key_id"}:
                fits = fits or of is None
            if not fits:
                raise ValueError(f"{name} is of another type")
        return cls(**value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a file of overrides holds."""

    overrides: tuple[Override, ...]
    """In the order in which they were made, each id once."""
    damaged: int = 0
    """Lines that are no override: half written in a crash, or changed."""


class Journal:
    """Appends overrides to `overrides.jsonl` in a folder; any number of threads and processes may share the folder.

    Args:
        folder: is made with mode 0700, the file with 0600.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        self._lock = threading.Lock()
        self._handle = -1
        self._read_to = 0
        self._ids: set[str] = set()
        self._damaged = 0

    def append(self, override: Override) -> bool:
        """Store an override; it is on the disk when this returns. Return False where its id was stored before.

        Raises:
            StoreError: it could not be written; then it may or may not be there, and asking again is safe.
        """
        line = written(override)
        try:
            with self._lock, self._exclusive() as handle:
                is_whole = self._catch_up(handle)
                is_new = override.id not in self._ids
                if is_new:
                    # What a crash left without an end stays a line of its own.
                    self._write(handle, line if is_whole else b"\n" + line)
                os.fsync(handle)
                return is_new
        except OSError as error:
            raise StoreError(
                f"The override could not be stored in {self.path.parent}: {error.strerror or type(error).__name__}. "
                "Expected a folder on a disk with room that this process may write; make room or correct the rights, "
                "then send it again."
            ) from error

    def check(self) -> int:
        """Make the folder and the file, and return how many overrides are there.

        Raises:
            StoreError: they cannot be made or read.
        """
        try:
            with self._lock, self._exclusive() as handle:
                self._catch_up(handle)
                return len(self._ids)
        except OSError as error:
            raise StoreError(
                f"Overrides cannot be stored in {self.path.parent}: {error.strerror or type(error).__name__}. Expected "
                "a folder that this process may write; correct its rights or name another."
            ) from error

    def drop(self, is_theirs: Callable[[Override], bool], hidden: Sequence[bytes] = ()) -> int:
        """Delete the overrides that are somebody's, and return how many went; all other lines stay byte for byte.

        The rest is written beside the file and takes its place in one step, so that a crash leaves the old file or
        the new one. Who appends meanwhile waits, and goes on in the new one.

        Args:
            is_theirs: whether an override goes.
            hidden: damaged lines, which no override can be read from, go where they hold one of these.

        Raises:
            StoreError: it could not be written; then nothing went.
        """
        if not self.path.is_file():
            return 0
        part = self.path.with_name(f".{FILE}.part")
        try:
            with self._lock, self._exclusive():
                lines = self.path.read_bytes().splitlines(keepends=True)
                rest = [line for line in lines if not _goes(line, is_theirs, hidden)]
                if len(rest) == len(lines):
                    part.unlink(missing_ok=True)  # of one that was killed
                    return 0
                handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
                with open(handle, "wb") as stream:
                    stream.writelines(rest)
                    stream.flush()
                    os.fsync(handle)
                os.replace(part, self.path)
                _sync_folder(self.path.parent)
                return len(lines) - len(rest)
        except OSError as error:
            raise StoreError(
                f"Overrides could not be deleted from {self.path.parent}: {error.strerror or type(error).__name__}. "
                "Expected a folder on a disk with room that this process may write; make room or correct the rights, "
                "then run the same command again."
            ) from error

    def close(self) -> None:
        """Let the file go."""
        with self._lock:
            self._close()

    # -- under the lock ----------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _exclusive(self) -> Iterator[int]:
        """Give the open file, locked against other processes; opened anew where it was moved away or deleted."""
        while True:
            if self._handle < 0:
                self._open()
            fcntl.flock(self._handle, fcntl.LOCK_EX)
            try:
                if os.path.samestat(os.fstat(self._handle), self.path.stat()):
                    break
            except FileNotFoundError:
                pass
            self._close()
        try:
            yield self._handle
        finally:
            fcntl.flock(self._handle, fcntl.LOCK_UN)

    def _open(self) -> None:
        made = _made_folders(self.path.parent)
        self._handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if stat.S_IMODE(os.fstat(self._handle).st_mode) & 0o077:
            os.fchmod(self._handle, 0o600)
        self._read_to, self._damaged = 0, 0
        self._ids.clear()
        for folder in (self.path.parent, *made):  # else a name may be lost with the power
            _sync_folder(folder)

    def _close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
        self._handle = -1

    def _catch_up(self, handle: int) -> bool:
        """Read what others appended since; return whether the file ends with a whole line."""
        body = bytearray()
        at = self._read_to
        while chunk := os.pread(handle, CHUNK_BYTES, at):
            body += chunk
            at += len(chunk)
        end = body.rfind(b"\n") + 1
        found = parsed(bytes(body[:end]))
        self._ids.update(one.id for one in found.overrides)
        self._damaged += found.damaged
        self._read_to += end
        return end == len(body)

    @staticmethod
    def _write(handle: int, line: bytes) -> None:
        rest = memoryview(line)
        while rest:
            rest = rest[os.write(handle, rest) :]


def written(override: Override) -> bytes:
    """Return the line of an override."""
    value = asdict(override)
    digest = hashlib.sha256(canonical_json(value)).hexdigest()
    return canonical_json({"override": value, "sha256": digest}) + b"\n"


def parsed(body: bytes) -> Found:
    """Return the overrides in a file's bytes, the first of each id."""
    found: dict[str, Override] = {}
    damaged = 0
    for line in body.split(b"\n"):
        if not line:
            continue
        override = _one(line)
        if override is None:
            damaged += 1
        else:
            found.setdefault(override.id, override)
    return Found(overrides=tuple(found.values()), damaged=damaged)


def snapshot(found: Iterable[Override]) -> bytes:
    """Return the file of these overrides alone: the same overrides give the same bytes."""
    return b"".join(written(one) for one in found)


def _goes(line: bytes, is_theirs: Callable[[Override], bool], hidden: Sequence[bytes]) -> bool:
    override = _one(line)
    return is_theirs(override) if override is not None else any(one in line for one in hidden)


def _one(line: bytes) -> Override | None:
    try:
        value = json.loads(line)
        if not isinstance(value, dict) or value.keys() != {"override", "sha256"}:
            return None
        if hashlib.sha256(canonical_json(value["override"])).hexdigest() != value["sha256"]:
            return None
        return Override.from_json(value["override"])
    except (ValueError, RecursionError):
        return None


def _made_folders(folder: Path) -> list[Path]:
    """Make a folder that only its owner may enter, and those above it; return the folders with new names in them."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for new in reversed(missing):
        new.mkdir(exist_ok=True, mode=0o700)
    return [new.parent for new in missing]


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
