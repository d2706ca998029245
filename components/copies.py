"""Local copies of a remote store's artifacts: downloaded, verified, and only then put in their place."""

import shutil
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path

from components.artifacts import Artifact
from components.digests import digest_of_file
from components.errors import DigestMismatchError
from components.manifest import FileEntry
from components.places.explaining import explained
from components.places.place import Place


def fetch(place: Place, artifact: Artifact, entries: Sequence[FileEntry], cache: Path, target: Path) -> None:
    """Download an artifact to a temporary folder of `cache`, compare digests, and only then put it at `target`.

    Raises:
        DigestMismatchError: a file is not what was published.
        StoreError: it cannot be read there, or written here.
    """
    part = cache / "tmp" / uuid.uuid4().hex
    try:
        for entry in entries:
            with explained(str(cache), entry.path, writing=True):
                (part / entry.path).parent.mkdir(parents=True, exist_ok=True)
            place.get_file(f"artifacts/{artifact.sha256}/{entry.path}", part / entry.path)
            digest = digest_of_file(part / entry.path)
            if digest != entry.sha256:
                raise DigestMismatchError(
                    f"{entry.path} of {artifact.kind} {artifact.sha256[:12]} in {place.url} has digest "
                    f"{digest[:12]}, expected {entry.sha256[:12]}. Run the stage that makes it again."
                )
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        try:
            part.rename(target)
        except OSError:
            if not is_whole_copy(target, entries):  # else: another process fetched the same
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def is_whole_copy(folder: Path, entries: Iterable[FileEntry]) -> bool:
    """Return whether a folder holds every file as it was published."""
    return folder.is_dir() and all(
        (folder / e.path).is_file() and digest_of_file(folder / e.path) == e.sha256 for e in entries
    )
