"""The artifact store over fsspec: atomic publishing, verified reading, and small JSON records; on a folder or on S3.

Layout below the root:

    artifacts/<sha256>/manifest.json   written last; without it there is no artifact
    artifacts/<sha256>/<files>
    records/...                        small JSON objects (stage records, runs, releases)
    used/<sha256>                      empty; its time says when the artifact was last taken into use
    gc/sweep.json                      only while `homeroom gc` deletes
    tmp/<random>/                      what is being written

An artifact's identity is the digest of its kind, its files' digests and its facts; a published artifact is never
overwritten, only repaired with the same bytes.

Over 400 lines: what is published, found and verified must agree, and is read side by side.
"""

import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from components.artifacts import (
    FORMAT_VERSION,
    Artifact,
    JsonValue,
    Lineage,
    RawFiles,
    Ref,
    artifact_from_json,
    canonical_json,
)
from components.copies import fetch, is_whole_copy
from components.errors import ArtifactMissingError, DigestMismatchError, StoreConflictError, StoreError
from components.manifest import (
    MANIFEST,
    RETIRED,
    FileEntry,
    describes,
    files_below,
    files_in,
    identity_of,
    raw_identity,
)
from components.places import disk
from components.places.explaining import explained
from components.places.place import LocalPlace, Place
from components.places.remote import RemotePlace
from components.scratch import locked_below, scratch_in
from components.upkeep.sweeping import claim

A = TypeVar("A", bound=Artifact)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """How an artifact came to be."""

    kind: str
    sha256: str
    lineage: Lineage
    retired: str
    """When and why its files were deleted for good; empty where they were not."""


class Store:
    """Publishes, verifies and finds artifacts below one root.

    Args:
        url: a folder, or any fsspec URL such as `s3://bucket/prefix`.
        cache: folder for verified local copies of remote artifacts and for scratch space of remote stores.
        storage_options: passed to fsspec (endpoint, credentials); never logged or hashed.
        one_writer: whoever set it up says that one process at a time writes, so that it may ignore conditional writes.

    Raises:
        StoreError: the root cannot be reached or made.
    """

    def __init__(
        self,
        url: str | Path,
        *,
        cache: Path | None = None,
        storage_options: Mapping[str, Any] | None = None,
        one_writer: bool = False,
    ) -> None:
        text = os.fspath(url)
        self._needs_no_conditions = one_writer
        self._place: Place
        if "://" not in text or text.startswith("file://"):
            root = Path(text.removeprefix("file://")).expanduser().absolute()
            if root.exists() and not root.is_dir():
                raise StoreError(f"The store {root} is a file; expected a folder, or a URL such as s3://bucket/prefix.")
            self._place = LocalPlace(root)
            self._local: Path | None = root
            self._needs_no_conditions = True  # a name is linked, which the system refuses where there is one
            self.cache = cache or root / "cache"
        else:
            self._place = RemotePlace(text, storage_options or {})
            self._local = None
            if cache is None:
                raise StoreError(f"A remote store ({text}) needs `cache=`, a local folder for verified copies.")
            self.cache = cache
        self._verified: set[str] = set()
        self._verified_copies: set[str] = set()

    @property
    def url(self) -> str:
        """Where the store's root is."""
        return self._place.url

    @property
    def local_root(self) -> Path | None:
        """The root as a folder, or None when the store is remote."""
        return self._local

    @property
    def place(self) -> Place:
        """Where the bytes are; for what looks after a store, such as garbage collection."""
        return self._place

    @property
    def local_folder(self) -> Path:
        """The folder of this machine for scratch space, jobs, locks and reports: the root or a remote store's cache."""
        return self._local or self.cache

    # -- artifacts ---------------------------------------------------------------------------------------------------

    def publish(self, draft: A, folder: Path) -> A:
        """Move the files of `folder` into the store and return `draft` with its real reference.

        Data first, the manifest last; a reader sees the whole artifact or none. Publishing the same bytes again
        returns the artifact that is there, after repairing it if its files were damaged.

        Args:
            draft: handle whose `ref` is still pending; its facts become part of the identity.
            folder: every file below it is published; symbolic links are refused. The folder is emptied.

        Raises:
            StoreError: nothing to publish, or the store refused to write.
        """
        with explained(str(folder), f"what stage {draft.lineage.stage!r} wrote"):
            entries = files_below(folder)
        if not entries:
            raise StoreError(f"Stage {draft.lineage.stage!r} left no files to publish; write at least one.")
        handle = self._with_ref(draft, entries)
        base = f"artifacts/{handle.sha256}"
        claim(self._place, handle.sha256)
        there = self._describes(handle.sha256)
        for entry in entries:
            if not there or not self._is_whole(f"{base}/{entry.path}", entry):
                self._place.put_file(folder / entry.path, f"{base}/{entry.path}")
        if not there:
            manifest = canonical_json({**handle.to_json(), "files": [e.to_json() for e in entries]})
            try:
                self._place.put_bytes(f"{base}/{MANIFEST}", manifest, create=True)
            except StoreConflictError:
                # Published by somebody else in the meantime, or damaged: only the second is written over.
                if not self._describes(handle.sha256):
                    self._place.put_bytes(f"{base}/{MANIFEST}", manifest)
        self._verified.add(handle.sha256)
        return handle

    def register(self, raw: RawFiles) -> RawFiles:
        """Record raw files (whose bytes stay where they are), so that lineage can be walked back to them."""
        body = canonical_json({**raw.to_json(), "files": []})
        path = f"artifacts/{raw.sha256}/{MANIFEST}"
        claim(self._place, raw.sha256)
        if self._place.get_bytes(path) != body:
            self._place.put_bytes(path, body)
        return raw

    def find(self, sha256: str) -> Artifact:
        """Return the handle of the artifact with this identity.

        Raises:
            ArtifactMissingError: there is none, or its manifest was never written.
        """
        manifest = self._manifest(sha256)
        if manifest is None:
            raise self._missing(sha256, f"artifact {sha256[:12]}")
        return artifact_from_json(manifest)

    def origin(self, sha256: str) -> Origin:
        """Return how the artifact came to be, also where its files were deleted for good.

        Raises:
            ArtifactMissingError: nothing is known of it.
        """
        value = self.manifest_value(sha256)
        if value is None:
            raise self._missing(sha256, f"artifact {sha256[:12]}")
        retired = value.get(RETIRED)
        return Origin(
            kind=value["kind"],
            sha256=sha256,
            lineage=Lineage.from_json(value["lineage"]),
            retired=f"{retired['at']}: {retired['reason']}" if retired else "",
        )

    def manifest_value(self, sha256: str) -> dict[str, Any] | None:
        """Return an artifact's manifest, or what took its place when its files were deleted for good; None without one.

        Raises:
            StoreError: a newer homeroom wrote it.
        """
        body = self._place.get_bytes(f"artifacts/{sha256}/{MANIFEST}")
        if body is None:
            return None
        try:
            value = json.loads(body)
        except ValueError:
            return None  # a damaged manifest is no manifest
        if not isinstance(value, dict) or not isinstance(value.get("format"), int):
            return None
        if value["format"] > FORMAT_VERSION:
            raise StoreError(
                f"Artifact {sha256[:12]} in {self.url} has format {value['format']}; this homeroom reads formats up to "
                f"{FORMAT_VERSION}. Upgrade homeroom to read it."
            )
        return value

    def files(self, artifact: Artifact) -> tuple[FileEntry, ...]:
        """Return the files that the artifact's manifest lists, by path."""
        return files_in(self._manifest_of(artifact))

    def verify(self, artifact: Artifact, *, again: bool = True) -> None:
        """Read every file of `artifact` and compare digests.

        Raises:
            ArtifactMissingError: the manifest or a file is missing.
            DigestMismatchError: a file or the manifest is not what was published.
        """
        if not again and artifact.sha256 in self._verified:
            return
        manifest = self._manifest_of(artifact)
        if not describes(manifest, artifact.sha256):
            raise DigestMismatchError(
                f"The manifest of {artifact.kind} {artifact.sha256[:12]} in {self.url} was changed: it describes "
                "another artifact. Run the stage that makes it again."
            )
        own = artifact.facts()
        if isinstance(artifact, RawFiles):
            own["uris"] = manifest["facts"]["uris"]  # the places may differ
        if any(own.get(name, value) != value for name, value in manifest["facts"].items()):
            raise DigestMismatchError(
                f"This handle of {artifact.kind} {artifact.sha256[:12]} says other things than its manifest in "
                f"{self.url}. Take the handle from the store (`find`)."
            )
        for entry in files_in(manifest):
            path = f"artifacts/{artifact.sha256}/{entry.path}"
            digest = self._place.digest(path)
            if digest is None:
                raise ArtifactMissingError(
                    f"{entry.path} of {artifact.kind} {artifact.sha256[:12]} is missing from {self.url}. "
                    "Run the stage that makes it again."
                )
            if digest != entry.sha256:
                raise DigestMismatchError(
                    f"{entry.path} of {artifact.kind} {artifact.sha256[:12]} in {self.url} has digest {digest[:12]}, "
                    f"expected {entry.sha256[:12]}: the bytes were changed. Run the stage that makes it again."
                )
        self._verified.add(artifact.sha256)

    def use(self, artifact: Artifact) -> None:
        """Verify an artifact and keep garbage collection away from it, as a run that goes on with it needs.

        Raises:
            ArtifactMissingError: the manifest or a file is missing.
            DigestMismatchError: a file or the manifest is not what was published.
        """
        claim(self._place, artifact.sha256)
        self.verify(artifact)

    def folder(self, artifact: Artifact) -> Path:
        """Return a local folder with the artifact's files, verified once per process. Treat it as read-only.

        Raises:
            ArtifactMissingError: the manifest or a file is missing.
            DigestMismatchError: a file is not what was published.
        """
        if self._local is not None:
            self.verify(artifact, again=False)
            return self._local / "artifacts" / artifact.sha256
        target = self.cache / "artifacts" / artifact.sha256
        if artifact.sha256 not in self._verified_copies or not target.exists():
            manifest = self._manifest_of(artifact)
            if not describes(manifest, artifact.sha256):
                raise DigestMismatchError(
                    f"The manifest of {artifact.kind} {artifact.sha256[:12]} in {self.url} was changed: it describes "
                    "another artifact. Run the stage that makes it again."
                )
            entries = files_in(manifest)
            if not is_whole_copy(target, entries):
                fetch(self._place, artifact, entries, self.cache, target)
            self._verified_copies.add(artifact.sha256)
        with suppress(OSError):
            os.utime(target)  # the age of a copy counts from its last use
        return target

    # -- records -----------------------------------------------------------------------------------------------------

    def write_record(self, path: str, value: JsonValue, *, create: bool = False) -> None:
        """Write a small JSON object in one atomic step below `records/`.

        Raises:
            StoreConflictError: `create` was asked for and the record exists.
        """
        self._place.put_bytes(f"records/{path}", canonical_json(value), create=create)

    def read_record(self, path: str) -> Any:  # Any: parsed JSON
        """Return the JSON object at `path`, or None when there is none (or its text is damaged)."""
        body = self._place.get_bytes(f"records/{path}")
        if body is None:
            return None
        try:
            return json.loads(body)
        except ValueError:
            return None

    def list_records(self, prefix: str) -> list[str]:
        """Return the paths, sorted, of all records below `prefix` (a folder, no slash at the end)."""
        return [p.removeprefix("records/") for p in self._place.list(f"records/{prefix}") if p.endswith(".json")]

    def delete_record(self, path: str) -> None:
        """Delete a record; a missing one is no error."""
        self._place.delete(f"records/{path}")

    # -- scratch and probes ------------------------------------------------------------------------------------------

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Give an empty local folder that is deleted afterwards; on the store's own disk where the store is local."""
        with scratch_in(self.local_folder, self.url) as folder:
            yield folder

    def job_folder(self, key: str) -> Path:
        """Return a local folder that belongs to one stage key and outlives a killed process."""
        folder = self.local_folder / "jobs" / key
        with explained(self.url, f"jobs/{key}", writing=True):
            disk.make_folder(folder)
        return folder

    def drop_job_folder(self, key: str) -> None:
        """Delete the folder of a stage key that has its record now; none is no error."""
        shutil.rmtree(self.local_folder / "jobs" / key, ignore_errors=True)

    @contextmanager
    def locked(self, name: str, on_wait: Callable[[], None]) -> Iterator[None]:
        """Hold a lock that other processes of this machine (or of this shared disk) wait for.

        The system frees it when the process dies, however it dies. A remote store locks below its cache: two machines
        do the same work twice, and publish the same result.

        Args:
            name: what is locked.
            on_wait: called once when somebody else holds it.
        """
        with locked_below(self.local_folder, self.url, name, on_wait):
            yield

    def probe(self) -> bool:
        """Write, read, and delete; return whether the store honours conditional creation.

        Raises:
            StoreError: the store cannot be written.
        """
        path = f"records/probe/{uuid.uuid4().hex}.json"
        self._place.put_bytes(path, b"{}", create=True)
        try:
            self._place.put_bytes(path, b"[]", create=True)
        except StoreConflictError:
            return True
        else:
            return False
        finally:
            self._place.delete(path)

    def require_conditional_writes(self) -> None:
        """Make sure, once per store, that of two writers of one name the second is refused.

        Raises:
            StoreError: the store ignores conditional writes, or cannot be written.
        """
        if not self._needs_no_conditions and not self.probe():
            raise StoreError(
                f"{self.url} ignores conditional writes (If-None-Match), so two people could promote at once and both "
                "be told that they did. Use a store that honours them, as S3 does; or, where one process alone ever "
                "writes into it, set HOMEROOM_ONE_WRITER=1."
            )
        self._needs_no_conditions = True

    # -- inside ------------------------------------------------------------------------------------------------------

    def _manifest(self, sha256: str) -> dict[str, Any] | None:
        value = self.manifest_value(sha256)
        return value if value is not None and "files" in value else None

    def _manifest_of(self, artifact: Artifact) -> dict[str, Any]:
        manifest = self._manifest(artifact.sha256)
        if manifest is None:
            raise self._missing(artifact.sha256, f"{artifact.kind} {artifact.sha256[:12]}")
        return manifest

    def _missing(self, sha256: str, what: str) -> ArtifactMissingError:
        value = self.manifest_value(sha256)
        retired = value.get(RETIRED) if value is not None else None
        if retired:
            return ArtifactMissingError(
                f"The files of {what} were deleted from {self.url} for good at {retired['at']} ({retired['reason']}). "
                "Run the application again: what is made now is without them."
            )
        return ArtifactMissingError(
            f"No {what} in {self.url}: no manifest is there. Run the stage that makes it again."
        )

    def _describes(self, sha256: str) -> bool:
        """Return whether the artifact's manifest is there and describes this very artifact."""
        manifest = self._manifest(sha256)
        return manifest is not None and describes(manifest, sha256)

    def _with_ref(self, draft: A, entries: tuple[FileEntry, ...]) -> A:
        sha256 = identity_of(draft.kind, entries, draft.facts(), FORMAT_VERSION)
        ref = Ref(
            uri=f"{self.url}/artifacts/{sha256}",
            sha256=sha256,
            bytes=sum(e.bytes for e in entries),
            media_type=f"application/vnd.homeroom.{draft.kind}",
        )
        return replace(draft, ref=ref)

    def _is_whole(self, path: str, entry: FileEntry) -> bool:
        return self._place.digest(path) == entry.sha256


__all__ = ["FileEntry", "Store", "raw_identity"]
