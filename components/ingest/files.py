"""Raw files at hand: fetched, checked against their recorded digest, unpacked, and known by their content."""

import gzip
import hashlib
import posixpath
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from components.artifacts import RawFiles
from components.digests import CHUNK_BYTES, digest_of_file
from components.errors import DigestMismatchError, SchemaError, StoreError
from components.ingest.opening import open_file_system, read_chunks
from components.places.explaining import ELSE, in_words, remedy_for

Format = Literal["parquet", "json", "text"]
UTF8_MARK = b"\xef\xbb\xbf"
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
SHORTEST_TOLD_BYTES = 16
"""Fewer bytes do not tell an encoding."""
UTF32_MARKS = (b"\xff\xfe\0\0", b"\0\0\xfe\xff")


@dataclass(frozen=True, slots=True, kw_only=True)
class RawFile:
    """One raw file, unpacked, on this machine."""

    path: Path
    index: int
    """Place in `RawFiles.uris`."""
    name: str
    """The file's own name, for messages."""
    digest: str
    """SHA-256 of the file as it was delivered."""
    role: str
    """`any`, `valid` or `test`."""
    format: Format
    has_mark: bool = False
    """Whether a mark at its start said which encoding it is in; it is UTF-8 now, whatever is configured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCount:
    """What was read of one file."""

    index: int
    digest: str
    role: str
    format: str
    rows_in: int
    blank_lines: int
    rows_erased: int = 0
    """Of students who were erased: they are in no other count but `rows_in`."""


@contextmanager
def raw_file(raw: RawFiles, index: int, scratch: Path) -> Iterator[RawFile]:
    """Give file `index` of `raw`; what had to be copied for it is deleted afterwards.

    Raises:
        DigestMismatchError: the file changed since it was collected.
        SchemaError: its content is cut short, damaged or of a kind that is not read.
        StoreError: it cannot be reached.
    """
    uri, digest = raw.uris[index], raw.digests[index]
    name = posixpath.basename(uri.partition("::")[0])
    copies: list[Path] = []
    try:
        path = _fetched(uri, digest, name, scratch / f"raw{index}", copies)
        for level in range(2):  # a gzip inside a gzip happens when a transfer packs what is packed
            if not _starts_with(path, b"\x1f\x8b"):
                break
            path = _unpacked(path, name, scratch / f"raw{index}.unpacked{level}", copies)
        has_mark = _starts_with(path, UTF8_MARK, *UTF16_MARKS)
        if _starts_with(path, *UTF16_MARKS) and not _starts_with(path, *UTF32_MARKS):
            path = _as_utf8(path, name, scratch / f"raw{index}.utf8", copies)
        yield RawFile(
            path=path,
            index=index,
            name=name,
            digest=digest,
            role=raw.roles[index],
            format=_format(path, name),
            has_mark=has_mark,
        )
    finally:
        for copy in copies:
            copy.unlink(missing_ok=True)


def _fetched(uri: str, digest: str, name: str, target: Path, copies: list[Path]) -> Path:
    _, path, is_local = open_file_system(uri)
    try:
        if is_local:
            target, found = Path(path), digest_of_file(Path(path))
        else:
            copies.append(target)
            state = hashlib.sha256()
            with target.open("wb") as sink:
                for chunk in read_chunks(uri):
                    state.update(chunk)
                    sink.write(chunk)
            found = state.hexdigest()
    except Exception as error:  # whatever a remote file system raises is about this file
        remedy = remedy_for(error)
        raise StoreError(
            f"{name} could not be read: {in_words(error)}. It was there when it was collected. "
            + ("Restore it or collect again." if remedy == ELSE else remedy)
        ) from error
    if found != digest:
        raise DigestMismatchError(
            f"{name} has digest {found[:12]}, but {digest[:12]} was collected: the file changed since. "
            "Collect again to take it as it is now."
        )
    return target


def _unpacked(path: Path, name: str, target: Path, copies: list[Path]) -> Path:
    copies.append(target)
    try:
        with gzip.open(path, "rb") as source, target.open("wb") as sink:
            while chunk := source.read(CHUNK_BYTES):
                sink.write(chunk)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        what = "ends in the middle of its gzip stream" if isinstance(error, EOFError) else "holds a damaged gzip stream"
        raise SchemaError(
            f"{name} ({path.stat().st_size} bytes) {what}; expected a whole one. The delivery was probably cut short: "
            "have the file sent again."
        ) from None
    return target


def _as_utf8(path: Path, name: str, target: Path, copies: list[Path]) -> Path:
    """Rewrite a UTF-16 file, which spreadsheets call "Unicode text"."""
    copies.append(target)
    try:
        with path.open(encoding="utf-16", newline="") as source, target.open("w", encoding="utf-8", newline="") as sink:
            while text := source.read(CHUNK_BYTES):
                sink.write(text)
    except UnicodeError:
        raise SchemaError(
            f"{name} starts with the mark of UTF-16 and then holds something else; expected one encoding throughout. "
            "Save the file again as UTF-8."
        ) from None
    return target


def _format(path: Path, name: str) -> Format:
    with path.open("rb") as stream:
        head = stream.read(4096)
    head = head.removeprefix(UTF8_MARK)
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"PK\x03\x04"):
        raise SchemaError(
            f"{name} is a zip archive or a spreadsheet; expected CSV, TSV, JSON lines or Parquet, plain or gzipped. "
            "Unpack it, or save the sheet as CSV."
        )
    text = head.lstrip()
    if text.startswith(b"["):
        raise SchemaError(
            f"{name} is one JSON array; expected JSON lines, one object per line. Convert it, e.g. `jq -c '.[]'`."
        )
    if not text:
        raise SchemaError(f"{name} holds nothing but blanks; expected rows. Have it delivered again or leave it out.")
    if head.count(0) * 10 > len(head):  # a few stray ones are a cell's, which a database lets through
        raise SchemaError(_with_zeros(head, name))
    return "json" if text.startswith(b"{") else "text"


def _with_zeros(head: bytes, name: str) -> str:
    """Say what a file with many zero bytes probably is."""
    even, odd = head[::2].count(0) * 2 / len(head), head[1::2].count(0) * 2 / len(head)
    kind = None
    if head.startswith(UTF32_MARKS) or (even > 0.45 and odd > 0.45):
        kind = "UTF-32"
    elif max(even, odd) > 0.45 and min(even, odd) < 0.1:
        kind = "UTF-16LE" if odd > even else "UTF-16BE"
    if kind is None or len(head) < SHORTEST_TOLD_BYTES:
        return (
            f"{name} is mostly zero bytes and no text; expected CSV, TSV, JSON lines or Parquet, plain or gzipped. "
            "Convert it to one of these."
        )
    return (
        f"{name} looks like text in {kind}{'' if kind == 'UTF-32' else ' without the mark that says so'}; expected "
        f"UTF-8. Save it again as UTF-8, or convert it: iconv -f {kind} -t UTF-8 {name} > utf8-{name}"
    )


def _starts_with(path: Path, *marks: bytes) -> bool:
    with path.open("rb") as stream:
        start = stream.read(4)
    return start.startswith(marks)


def open_text(file: RawFile) -> BinaryIO:
    """Open a text file behind its byte-order mark."""
    stream = file.path.open("rb")
    if stream.read(3) != UTF8_MARK:
        stream.seek(0)
    return stream
