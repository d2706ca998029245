"""Garbage collection of a store: what nothing refers to any more, found first and deleted in an order that is safe.

What is kept is said from outside, as identities of artifacts (`Kept`); everything that those were made from is kept
with them. docs/decisions/0004-garbage-collection.md says why this is safe beside running flows.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from components.manifest import MANIFEST
from components.places.place import Entry
from components.stage import job_name
from components.store import Store
from components.upkeep import leases
from components.upkeep.inventory import Inventory, StageRecord, StoredArtifact, take_inventory
from components.upkeep.leftovers import Leftover, delete_leftover, find_leftovers, stages_at_work
from components.upkeep.names import is_scratch, is_upload
from components.upkeep.sweeping import SweepNotice, mark_of

Kind = Literal[
    "run", "release", "stage record", "artifact", "half artifact", "temporary", "upload", "mark", "job", "lock", "copy",
    "report",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What must stay, and which records above the stages' are given up."""

    artifacts: frozenset[str]
    """Identities; what they were made from is kept besides."""
    reports: frozenset[str] = frozenset()
    """Names of runs whose reports stay."""
    dropped: tuple["Garbage", ...] = ()
    """Records of runs and releases that go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Garbage:
    """One thing that can go."""

    kind: Kind
    path: str
    """Below the store's root, or on this machine."""
    bytes: int
    reason: str
    artifact: str = ""
    """Identity of the artifact that it is or refers to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ages:
    """How old something must be to go."""

    grace: timedelta
    """Nothing younger goes, whatever it is; longer than any run, or than what a run does between two marks of use."""
    keep_for: timedelta
    """Results that nothing refers to, and jobs of dead runs, stay so long after their last use."""

    def results(self) -> timedelta:
        """Return the age from which unreferenced results go."""
        return max(self.grace, self.keep_for)


def protected_by_running(store: Store, inventory: Inventory, grace: timedelta) -> frozenset[str]:
    """Return the identities that runs under way may be using, however long they have been running.

    A stage at work holds its lock, and a run its lease, which names what it has used so far. What was taken into use
    since the earliest of them began, less the time of grace, is protected too. Locks are seen on this machine (and on
    a shared disk), leases from everywhere.
    """
    live = leases.running(store)
    begun = [*stages_at_work(store).values(), *(datetime.fromisoformat(lease.started_utc) for lease in live)]
    if not begun:
        return frozenset()
    since = min(begun) - grace
    named = frozenset(sha256 for lease in live for sha256 in lease.artifacts)
    return named | {
        sha256 for sha256, stored in inventory.artifacts.items() if stored.used is None or stored.used >= since
    }


def find_garbage(store: Store, kept: Kept, ages: Ages, now: datetime) -> list[Garbage]:
    """Return what can go, in the order in which it is deleted: first what refers, then what it refers to.

    Raises:
        StoreError: the store cannot be read or a newer homeroom wrote into it.
    """
    inventory = take_inventory(store)
    recent = {
        sha256
        for sha256, stored in inventory.artifacts.items()
        if stored.kind and not _is_older(stored.used, now, ages.results())
    }
    running = protected_by_running(store, inventory, ages.grace)
    needed = inventory.with_parents(kept.artifacts | recent | running)
    return [
        *kept.dropped,
        *_stage_records(inventory, needed, ages, now),
        *_artifacts(inventory, needed, ages, now),
        *_marks(inventory, needed, ages, now),
        *_on_the_place(store, ages, now),
        *_on_this_machine(store, inventory, kept, ages, now),
    ]


def delete_garbage(
    store: Store,
    find: Callable[[datetime], list[Garbage]],
    say: Callable[[Garbage], None],
) -> list[Garbage]:
    """Delete what `find` finds, and return what went.

    It is asked twice: before and after the notice of what is about to go is written. Only what both name is deleted.

    Args:
        store: the store.
        find: is given the time, by the store's clock.
        say: called with each thing that went.

    Raises:
        StoreError: another collection is at work, or something cannot be deleted; what is left goes the next time.
    """
    first = find(datetime.now(UTC))
    gone = []
    with SweepNotice(store.place, {one.artifact for one in first if one.artifact}) as notice:
        named = {(one.kind, one.path) for one in first}
        for one in find(notice.started):
            if (one.kind, one.path) not in named:
                continue
            notice.renew()
            if _delete(store, one):
                gone.append(one)
                say(one)
    return gone


def _is_older(time: datetime | None, now: datetime, age: timedelta) -> bool:
    """Return whether something is older than `age`; what has no time is as new as can be."""
    return time is not None and now - time > age


def _stage_records(inventory: Inventory, needed: frozenset[str], ages: Ages, now: datetime) -> Iterator[Garbage]:
    for record in inventory.stages:
        if record.artifact in needed and _is_there(inventory, record):
            continue
        if record.artifact and _is_there(inventory, record):
            limit, reason = ages.results(), "its result is used by no release, kept run or recent run"
        else:
            limit, reason = ages.grace, "its result is gone" if record.artifact else "it is damaged"
        if _is_older(record.written, now, limit):
            yield Garbage(
                kind="stage record",
                path=f"records/{record.path}",
                bytes=record.bytes,
                reason=reason,
                artifact=record.artifact,
            )


def _is_there(inventory: Inventory, record: StageRecord) -> bool:
    stored = inventory.artifacts.get(record.artifact)
    return stored is not None and bool(stored.kind)


def _artifacts(inventory: Inventory, needed: frozenset[str], ages: Ages, now: datetime) -> Iterator[Garbage]:
    for stored in inventory.artifacts.values():
        if stored.kind and stored.sha256 not in needed and _is_older(stored.used, now, ages.results()):
            # A record that stays because it is young keeps its result.
            if not any(r.artifact == stored.sha256 and not _is_older(r.written, now, ages.results())
                       for r in inventory.stages):  # fmt: skip
                yield _artifact(stored, "artifact", f"{stored.kind} of no release, kept run or recent run")
        elif not stored.kind and _is_older(stored.used, now, ages.grace):
            yield _artifact(stored, "half artifact", "its publishing was never finished, or its deletion")


def _artifact(stored: StoredArtifact, kind: Kind, reason: str) -> Garbage:
    return Garbage(
        kind=kind, path=f"artifacts/{stored.sha256}", bytes=stored.bytes, reason=reason, artifact=stored.sha256
    )


def _marks(inventory: Inventory, needed: frozenset[str], ages: Ages, now: datetime) -> Iterator[Garbage]:
    for sha256, entry in inventory.marks.items():
        if sha256 not in inventory.artifacts and sha256 not in needed and _is_older(entry.modified, now, ages.grace):
            yield Garbage(kind="mark", path=entry.path, bytes=0, reason="its artifact is gone", artifact=sha256)


def _on_the_place(store: Store, ages: Ages, now: datetime) -> Iterator[Garbage]:
    for entry in store.place.entries("records/probe"):
        if is_scratch(_name(entry).removesuffix(".json")) and _is_older(entry.modified, now, ages.grace):
            yield _temporary(entry, "left by a check that was killed")
    if store.local_root is None:
        for entry in store.place.entries("tmp"):
            if is_scratch(_name(entry)) and _is_older(entry.modified, now, ages.grace):
                yield _temporary(entry, "left by an upload that was killed")
    for upload in store.place.uploads():
        if is_upload(upload.path) and _is_older(upload.modified, now, ages.grace):
            yield Garbage(
                kind="upload",
                path=f"{upload.path}#{upload.upload_id}",
                bytes=upload.bytes,
                reason="begun, and never completed; its parts are stored and invisible",
            )


def _name(entry: Entry) -> str:
    return entry.path.rpartition("/")[2]


def _temporary(entry: Entry, reason: str) -> Garbage:
    return Garbage(kind="temporary", path=entry.path, bytes=entry.bytes, reason=reason)


def _on_this_machine(store: Store, inventory: Inventory, kept: Kept, ages: Ages, now: datetime) -> Iterator[Garbage]:
    found = find_leftovers(
        store,
        frozenset(job_name(record.stage, record.key) for record in inventory.stages if record.artifact),
        now,
        ages.grace,
        ages.results(),
        kept.reports,
    )
    for one in found:
        yield Garbage(kind=one.kind, path=str(one.path), bytes=one.bytes, reason=one.reason)


def _delete(store: Store, garbage: Garbage) -> bool:
    place = store.place
    match garbage.kind:
        case "run" | "release" | "stage record" | "mark":
            place.delete(garbage.path)
        case "artifact" | "half artifact":
            # The manifest first: from then on there is no artifact, whatever happens to its files.
            place.delete(f"{garbage.path}/{MANIFEST}")
            for path in place.list(garbage.path):
                place.delete(path)
            place.drop_empty(garbage.path)
            place.delete(mark_of(garbage.artifact))
        case "upload":
            path, _, upload_id = garbage.path.partition("#")
            place.abort_upload(Entry(path=path, bytes=0, modified=None, upload_id=upload_id))
        case "temporary" if not Path(garbage.path).is_absolute():
            place.delete(garbage.path)
        case "temporary" | "job" | "lock" | "copy" | "report":
            return delete_leftover(
                Leftover(kind=garbage.kind, path=Path(garbage.path), bytes=garbage.bytes, reason=garbage.reason)
            )
    return True
