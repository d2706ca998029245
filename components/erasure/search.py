"""Search of files for what is somebody's: in plain bytes, and in what is packed (Parquet, gzip, zip, JSON's arrays).

A pseudonym is looked for as hex (small and capital letters, UTF-8, UTF-16 and UTF-32, as numpy has text), as its bytes,
and as base64 of either, wherever in the stream it begins. Texts are looked for as they stand, and as JSON, CSV and HTML
escape them.
"""

import base64
import bz2
import gzip
import html
import io
import json
import lzma
import mmap
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

What = Literal["pseudonym", "text", "features"]
DEEPEST = 4
"""So often may one packing lie in another."""
ROWS_AT_ONCE = 50_000
_ZLIB_IN_JSON = b'"data":'
Bytes = bytes | mmap.mmap


@dataclass(frozen=True, slots=True)
class Wanted:
    """Patterns to look for, and what each gives away."""

    patterns: tuple[tuple[What, bytes], ...]

    @classmethod
    def of(cls, pseudonyms: Iterable[str] = (), texts: Iterable[str] = (), rows: Iterable[bytes] = ()) -> "Wanted":
        """Return the patterns of pseudonyms (hex), of whole texts, and of rows of numbers as they lie in arrays."""
        found: dict[tuple[What, bytes], None] = {}
        for pseudonym in pseudonyms:
            found |= dict.fromkeys(("pseudonym", one) for one in _of_pseudonym(pseudonym))
        for text in texts:
            found |= dict.fromkeys(("text", one) for one in _of_text(text))
        found |= dict.fromkeys(("features", row) for row in rows)
        return cls(tuple(found))


@dataclass(frozen=True, slots=True)
class Seen:
    """What a file holds."""

    found: frozenset[What]
    unreadable: str = ""
    """Why a packing could not be opened; then nobody knows what is in it."""


def search_file(path: Path, wanted: Wanted) -> Seen:
    """Return what a file holds of what is wanted.

    Raises:
        OSError: it cannot be read.
    """
    if not path.stat().st_size:
        return Seen(frozenset())
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as body:
        return search_bytes(body, wanted)


def search_bytes(body: Bytes, wanted: Wanted) -> Seen:
    """Return what bytes hold of what is wanted, also in what is packed in them."""
    found: set[What] = set()
    trouble: list[str] = []
    _search(body, wanted, found, trouble, 0)
    return Seen(frozenset(found), "; ".join(dict.fromkeys(trouble)))


def _search(body: Bytes, wanted: Wanted, found: set[What], trouble: list[str], depth: int) -> None:
    found |= {what for what, pattern in wanted.patterns if what not in found and body.find(pattern) >= 0}
    kind = _packing(body)
    if kind is None:
        return
    if depth == DEEPEST:
        trouble.append(f"packed more than {DEEPEST} times")
        return
    try:
        for part in _unpacked(body, kind):
            _search(part, wanted, found, trouble, depth + 1)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError,
            pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:  # fmt: skip
        trouble.append(f"{kind} that cannot be opened ({type(error).__name__})")


def _packing(body: Bytes) -> str | None:
    start = body[:6]
    for kind, mark in (("parquet", b"PAR1"), ("gzip", b"\x1f\x8b"), ("zip", b"PK\x03\x04"), ("bzip2", b"BZh"),
                       ("xz", b"\xfd7zXZ\0"), ("zstd", b"\x28\xb5\x2f\xfd")):  # fmt: skip
        if start.startswith(mark):
            return kind
    return "json" if start.lstrip()[:1] in (b"{", b"[") and body.find(_ZLIB_IN_JSON) >= 0 else None


def _unpacked(body: Bytes, kind: str) -> Iterator[bytes]:
    match kind:
        case "parquet":
            yield from _columns(bytes(body))
        case "gzip":
            yield gzip.decompress(bytes(body))
        case "bzip2":
            yield bz2.decompress(bytes(body))
        case "xz":
            yield lzma.decompress(bytes(body))
        case "json":
            try:
                value = json.loads(bytes(body))
            except ValueError:
                return  # lines of JSON, or none at all: nothing is packed in it, and it was searched as it stands
            yield from _arrays_in(value)
        case "zip":
            with zipfile.ZipFile(io.BytesIO(bytes(body))) as archive:
                for name in archive.namelist():
                    yield name.encode() + b"\0"
                    yield archive.read(name)
        case _:
            raise ValueError(f"no reader of {kind}")


def _columns(body: bytes) -> Iterator[bytes]:
    """Yield the values of each column of a Parquet file, one after the other."""
    schema = pl.read_parquet_schema(io.BytesIO(body))
    if not schema:
        raise ValueError("no columns")  # as polars reads a footer of zeros
    for name in schema:
        yield from _values(pl.read_parquet(io.BytesIO(body), columns=[name]).to_series())


def _values(column: pl.Series) -> Iterator[bytes]:
    kind = column.dtype
    if isinstance(kind, pl.List | pl.Array):
        yield from _values(column.explode())
    elif isinstance(kind, pl.Struct):
        for field in kind.fields:
            yield from _values(column.struct.field(field.name))
    elif isinstance(kind, pl.Categorical | pl.Enum):
        yield from _values(column.unique().cast(pl.String))
    elif kind in (pl.String, pl.Binary):
        values = column.drop_nulls().unique()
        for start in range(0, len(values), ROWS_AT_ONCE):
            part = values[start : start + ROWS_AT_ONCE].cast(pl.Binary).to_list()
            yield b"\0".join(part)


def _arrays_in(value: object) -> Iterator[bytes]:
    """Yield the arrays that a codec packs into JSON: base64 of what zlib packed."""
    if isinstance(value, dict):
        if value.keys() == {"dtype", "shape", "data"} and isinstance(value["data"], str):
            yield zlib.decompress(base64.b64decode(value["data"]))
            return
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _arrays_in(one)


def _of_pseudonym(pseudonym: str) -> Iterator[bytes]:
    raw = bytes.fromhex(pseudonym)
    for text in dict.fromkeys((raw.hex(), raw.hex().upper())):
        for encoding in ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le"):
            yield text.encode(encoding)
    yield raw
    for body in (raw, raw.hex().encode()):
        yield from _as_base64(body)


def _as_base64(body: bytes) -> Iterator[bytes]:
    """Yield what base64 of any stream with `body` in it holds: it depends on where in a group of three it begins."""
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + body)
        first = -(-before * 8 // 6)  # letters with bits of what stands before
        last = (before + len(body)) * 8 // 6  # behind it, letters with bits of what follows
        yield coded[first:last]
        yield coded[first:last].translate(bytes.maketrans(b"+/", b"-_"))


def _of_text(text: str) -> Iterator[bytes]:
    yield text.encode()
    yield text.encode("utf-16-le")
    yield json.dumps(text)[1:-1].encode()
    yield json.dumps(text, ensure_ascii=False)[1:-1].encode()
    yield html.escape(text).encode()
    yield text.replace('"', '""').encode()
    yield text.replace("\n", "\r\n").encode()
