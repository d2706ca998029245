"""What lies in a store, read once: artifacts with their parents, stage records, and when each was last used.

A listing may be older than what was written meanwhile (or be cut short): nothing is concluded from an object's absence
in a listing alone.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from components.artifacts import FORMAT_VERSION
from components.errors import StoreError
from components.manifest import MANIFEST
from components.places.place import Entry
from components.store import Store
from components.upkeep.names import is_identity

_PARTS = 5
"""records/stages/<application>/<stage>/<key>.json"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredArtifact:
    """One folder below `artifacts/`."""

    sha256: str
    kind: str
    """From its manifest; empty where there is none, so that readers see no artifact."""
    parents: frozenset[str]
    paths: tuple[str, ...]
    bytes: int
    used: datetime | None
    """When it was last written or taken into use; None where the store does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRecord:
    """The record of one finished stage."""

    path: str
    """Below `records/`."""
    stage: str
    key: str
    artifact: str
    """Identity of its result; empty where the record is damaged."""
    parents: frozenset[str]
    bytes: int
    written: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """A store's artifacts and stage records."""

    artifacts: Mapping[str, StoredArtifact]
    stages: tuple[StageRecord, ...]
    marks: Mapping[str, Entry]
    """Identity -> its mark of use."""

    def with_parents(self, identities: Iterable[str]) -> frozenset[str]:
        """Return these identities and all that they were made from, by any of the recorded ways, transitively."""
        made_from: dict[str, set[str]] = defaultdict(set)
        for record in self.stages:
            made_from[record.artifact] |= record.parents
        found: set[str] = set()
        waiting = list(identities)
        while waiting:
            sha256 = waiting.pop()
            if sha256 in found:
                continue
            found.add(sha256)
            stored = self.artifacts.get(sha256)
            waiting += made_from[sha256] | (stored.parents if stored is not None else frozenset())
        return frozenset(found)


def take_inventory(store: Store) -> Inventory:
    """Read all manifests and stage records.

    Raises:
        StoreError: the store cannot be read, or a newer homeroom wrote into it, whose references this one cannot know.
    """
    used = {entry.path.removeprefix("used/"): entry for entry in store.place.entries("used")}
    marks = {sha256: entry for sha256, entry in used.items() if is_identity(sha256)}
    grouped: dict[str, list[Entry]] = defaultdict(list)
    for entry in store.place.entries("artifacts"):
        name = entry.path.split("/")[1]
        if is_identity(name):
            grouped[name].append(entry)
    artifacts = {sha256: _artifact(store, sha256, entries, marks) for sha256, entries in grouped.items()}
    stages = [_stage_record(store, entry) for entry in store.place.entries("records/stages")]
    return Inventory(artifacts=artifacts, stages=tuple(s for s in stages if s is not None), marks=marks)


def _artifact(store: Store, sha256: str, entries: list[Entry], marks: Mapping[str, Entry]) -> StoredArtifact:
    # Asked for, also where no listing shows it: half an artifact is one that has no manifest now.
    manifest = _json(store, f"artifacts/{sha256}/{MANIFEST}")
    times = [entry.modified for entry in entries]
    if sha256 in marks:
        times.append(marks[sha256].modified)
    known = [time for time in times if time is not None]
    return StoredArtifact(
        sha256=sha256,
        kind=str(manifest["kind"]) if manifest else "",
        parents=frozenset(manifest["lineage"]["parents"]) if manifest else frozenset(),
        paths=tuple(entry.path for entry in entries),
        bytes=sum(entry.bytes for entry in entries),
        used=max(known) if len(known) == len(times) else None,
    )


def _stage_record(store: Store, entry: Entry) -> StageRecord | None:
    parts = entry.path.split("/")
    if not entry.path.endswith(".json") or len(parts) != _PARTS:
        return None
    *_, stage, name = parts
    record = _json(store, entry.path)
    handle: dict[str, Any] = record["artifact"] if record and "artifact" in record else {}  # Any: plain JSON
    return StageRecord(
        path=entry.path.removeprefix("records/"),
        stage=stage,
        key=name.removesuffix(".json"),
        artifact=handle["ref"]["sha256"] if handle else "",
        parents=frozenset(handle["lineage"]["parents"]) if handle else frozenset(),
        bytes=entry.bytes,
        written=entry.modified,
    )


def _json(store: Store, path: str) -> dict[str, Any] | None:
    """Return a JSON object, or None where it is missing or damaged."""
    body = store.place.get_bytes(path)
    try:
        value = json.loads(body) if body is not None else None
    except ValueError:
        return None
    if not isinstance(value, dict):
        return None
    if int(value.get("format", 1)) > FORMAT_VERSION:
        raise StoreError(
            f"{path} in {store.url} has format {value['format']}; this homeroom reads formats up to {FORMAT_VERSION} "
            "and cannot know what it refers to. Upgrade homeroom before collecting garbage."
        )
    return value
