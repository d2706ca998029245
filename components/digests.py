"""SHA-256 of files and of bytes that come in pieces."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

CHUNK_BYTES = 1 << 20


def digest_of_file(path: Path) -> str:
    """Return the SHA-256, in hex, of a local file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest_of_chunks(chunks: Iterable[bytes]) -> str:
    """Return the SHA-256, in hex, of bytes that come in pieces."""
    state = hashlib.sha256()
    for chunk in chunks:
        state.update(chunk)
    return state.hexdigest()
