"""What a manifest says of an artifact: its files, and the identity that kind, files and facts make together."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from components.artifacts import FORMAT_VERSION, JsonValue, RawFiles, digest_of
from components.digests import digest_of_file
from components.errors import StoreError

MANIFEST = "manifest.json"
RETIRED = "retired"
"""What is in a manifest, in the place of the files, once these were deleted for good."""
MEDIA_TYPES = {
    ".json": "application/json",
    ".parquet": "application/vnd.apache.parquet",
    ".npy": "application/x-npy",
    ".onnx": "application/onnx",
    ".csv": "text/csv",
    ".md": "text/markdown",
    ".html": "text/html",
    ".py": "text/x-python",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One file of an artifact, as its manifest lists it."""

    path: str
    sha256: str
    bytes: int
    media_type: str

    def to_json(self) -> dict[str, JsonValue]:
        """Return the fields as plain JSON values."""
        return {"path": self.path, "sha256": self.sha256, "bytes": self.bytes, "media_type": self.media_type}


def identity_of(kind: str, entries: Iterable[FileEntry], facts: Mapping[str, Any], version: int) -> str:
    """Return the identity that `version` of the format gives. Older artifacts keep theirs: facts are as they were."""
    if kind == RawFiles.__name__:
        return raw_identity(facts["digests"], facts["roles"], version=version)
    files: list[JsonValue] = [[e.path, e.sha256, e.bytes] for e in sorted(entries, key=lambda e: e.path)]
    return digest_of({"format": version, "kind": kind, "files": files, "facts": dict(facts)})


def raw_identity(digests: Sequence[str], roles: Sequence[str], *, version: int = FORMAT_VERSION) -> str:
    """Return the identity of raw files: over their contents and roles in order, never their names or places."""
    pairs: list[JsonValue] = [[d, r] for d, r in zip(digests, roles, strict=True)]
    return digest_of({"format": version, "kind": "RawFiles", "files": pairs})


def describes(manifest: Mapping[str, Any], sha256: str) -> bool:
    """Return whether a manifest describes the artifact under whose identity it lies."""
    try:
        entries = files_in(manifest)
        return identity_of(manifest["kind"], entries, manifest["facts"], manifest["format"]) == sha256
    except (KeyError, TypeError, ValueError):
        return False


def retired_manifest(manifest: Mapping[str, Any], *, at: str, reason: str, erasure: str) -> dict[str, Any]:
    """Return what takes the place of a manifest whose artifact's files are deleted for good: all but its files.

    Readers see no artifact (`files` is missing), and lineage can still be walked through it.

    Args:
        manifest: the artifact's, or what took its place before.
        at: time in UTC, ISO 8601.
        reason: in words.
        erasure: name of the tombstone on whose account it went.
    """
    kept = {name: value for name, value in manifest.items() if name != "files"}
    return {**kept, RETIRED: {"at": at, "reason": reason, "erasure": erasure}}


def files_in(manifest: Mapping[str, Any]) -> tuple[FileEntry, ...]:
    """Return the files that a manifest lists.

    Raises:
        ValueError: a path leads out of the artifact's folder.
    """
    entries = tuple(FileEntry(**entry) for entry in manifest["files"])
    for entry in entries:
        path = PurePosixPath(entry.path)
        if path.is_absolute() or ".." in path.parts or "\\" in entry.path or not entry.path:
            raise ValueError("A manifest lists a file outside its folder: it was changed. Make the artifact again.")
    return entries


def files_below(folder: Path) -> tuple[FileEntry, ...]:
    """Return all files below a folder, by path, with their digests.

    Raises:
        StoreError: one of them is a symbolic link, or has the manifest's name.
    """
    if (folder / MANIFEST).exists():
        raise StoreError(f"A file called {MANIFEST} cannot be published: the store writes its own. Name it otherwise.")
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            raise StoreError(f"{path.name} is a symbolic link; artifacts hold plain files. Copy what it points to.")
        if path.is_file():
            found.append(
                FileEntry(
                    path=path.relative_to(folder).as_posix(),
                    sha256=digest_of_file(path),
                    bytes=path.stat().st_size,
                    media_type=MEDIA_TYPES.get(path.suffix, "application/octet-stream"),
                )
            )
    return tuple(found)
