"""What of a store is kept, and why: releases, the latest runs, schedules, and whatever these were made from."""

import json
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from components.errors import ConfigError, StoreError
from components.places.place import Entry
from components.store import Store
from components.upkeep.garbage import Ages, Garbage, Kept, delete_garbage, find_garbage
from flows.request import RunRequest
from serving.registry import Slot, State

_DECISION = re.compile(r"records/releases/[^/]+/decisions/")
_RELEASE_RECORD = re.compile(r"records/releases/([^/]+)/(known|history|current|log)")


MOST_DAYS = 36_500


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How much is kept besides what releases and schedules need."""

    keep_runs: int = 3
    """Latest finished runs of each application, with all their results."""
    keep_days: float = 30.0
    """Runs, results and jobs of dead runs that were used within so many days."""
    grace_hours: float = 24.0
    """Nothing younger goes, whatever it is."""
    drop_unserved: bool = False
    """Give up registered releases that never served and belong to no kept run."""

    def __post_init__(self) -> None:
        problems = []
        if self.keep_runs < 1:
            problems.append(
                f"keep_runs is {self.keep_runs}; expected at least 1, as schedules go on from the latest run"
            )
        problems += [
            f"{name} is {value:g}; expected 0 or more"
            for name, value in (("keep_days", self.keep_days), ("grace_hours", self.grace_hours))
            if not value >= 0
        ]
        problems += [
            f"{name} is {value:g}; expected at most {MOST_DAYS * per_day:,} ({MOST_DAYS / 365:.0f} years)"
            for name, value, per_day in (("keep_days", self.keep_days, 1), ("grace_hours", self.grace_hours, 24))
            if value > MOST_DAYS * per_day
        ]
        if problems:
            raise ConfigError("; ".join(problems) + ".")

    def ages(self) -> Ages:
        """Return the ages from which things go."""
        return Ages(grace=timedelta(hours=self.grace_hours), keep_for=timedelta(days=self.keep_days))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """The record of one finished run."""

    entry: Entry
    application: str
    name: str
    request: Any  # plain JSON
    artifacts: frozenset[str]
    release: str
    """Identity of the release that it ended with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _ReleaseRecord:
    """One record of the registry."""

    entry: Entry
    version: str
    artifact: str
    is_known: bool
    """Says only that the release was registered."""


def scheduled_requests() -> list[RunRequest]:
    """Return what the Prefect server that PREFECT_API_URL names has scheduled; nothing where none is named.

    Raises:
        StoreError: the server does not say.
    """
    if not os.environ.get("PREFECT_API_URL"):
        return []
    from flows.schedules import scheduled_requests as ask  # late: Prefect takes a second to load

    try:
        return ask()
    except Exception as error:  # whatever Prefect's client raises
        raise StoreError(
            f"PREFECT_API_URL={os.environ['PREFECT_API_URL']} does not say what is scheduled "
            f"({type(error).__name__}: {error}), so nothing can be given up. Start that server, or unset the variable "
            "if there are no schedules."
        ) from error


def garbage_of(
    store: Store, retention: Retention, *, scheduled: Sequence[RunRequest] = (), now: datetime | None = None
) -> list[Garbage]:
    """Return what can go, in the order in which it would be deleted. Changes nothing.

    Args:
        store: the store.
        retention: how much is kept.
        scheduled: requests whose latest run is kept.
        now: the time; by default this machine's.

    Raises:
        StoreError: the store cannot be read, a record of the registry is damaged, or a newer homeroom wrote into it.
    """
    now = now or datetime.now(UTC)
    return find_garbage(store, _kept(store, retention, scheduled, now), retention.ages(), now)


def delete_garbage_of(
    store: Store,
    retention: Retention,
    *,
    scheduled: Sequence[RunRequest] = (),
    say: Callable[[Garbage], None] = lambda garbage: None,
) -> list[Garbage]:
    """Delete what `garbage_of` returns, and return what went; `say` is called with each.

    Raises:
        StoreError: as `garbage_of`, or another collection is at work.
    """
    return delete_garbage(store, lambda now: garbage_of(store, retention, scheduled=scheduled, now=now), say)


def _kept(store: Store, retention: Retention, scheduled: Sequence[RunRequest], now: datetime) -> Kept:
    runs = list(_runs(store))
    kept_runs = _kept_runs(runs, retention, scheduled, now)
    of_runs = frozenset[str]().union(*(run.artifacts for run in runs if run.name in kept_runs))
    releases = list(_releases(store))
    served = {one.version for one in releases if not one.is_known}
    dropped: list[Garbage] = []
    artifacts = set(of_runs)
    for one in releases:
        is_young = one.entry.modified is None or now - one.entry.modified <= retention.ages().results()
        if retention.drop_unserved and one.version not in served and one.artifact not in of_runs and not is_young:
            dropped.append(_dropped("release", one.entry, "it never served, and its run is not kept", one.artifact))
        else:
            artifacts.add(one.artifact)
    # A run whose release stays is part of that release's history.
    for run in runs:
        if run.name not in kept_runs and run.release not in artifacts:
            dropped.append(_dropped("run", run.entry, f"older than the kept runs of {run.application}"))
    return Kept(
        artifacts=frozenset(artifacts),
        reports=frozenset(run.name for run in runs) - {_name(one.path) for one in dropped},
        dropped=tuple(dropped),
    )


def _kept_runs(
    runs: Sequence[_Run], retention: Retention, scheduled: Sequence[RunRequest], now: datetime
) -> frozenset[str]:
    by_application: dict[str, list[_Run]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: run.name):  # a run's name begins with its time
        by_application[run.application].append(run)
    kept = {run.name for group in by_application.values() for run in group[-retention.keep_runs :]}
    for run in runs:
        if run.entry.modified is None or now - run.entry.modified <= retention.ages().results():
            kept.add(run.name)
    for request in scheduled:
        same = [r for r in by_application[request.application] if RunRequest.from_json(r.request) == request]
        kept |= {run.name for run in same[-1:]}
    return frozenset(kept)


def _runs(store: Store) -> Iterator[_Run]:
    for entry in store.place.entries("records/runs"):
        record = store.read_record(entry.path.removeprefix("records/"))
        if isinstance(record, dict) and "artifacts" in record:  # a damaged one says nothing and stays
            yield _Run(
                entry=entry,
                application=entry.path.split("/")[2],
                name=_name(entry.path),
                request=record["request"],
                artifacts=frozenset(artifact["sha256"] for artifact in record["artifacts"].values()),
                release=record["artifacts"].get("deploy", {}).get("sha256", ""),
            )


def _releases(store: Store) -> Iterator[_ReleaseRecord]:
    for entry in store.place.entries("records/releases"):
        if _DECISION.match(entry.path):
            continue  # what was decided on a release stays, whatever becomes of the release
        match = _RELEASE_RECORD.match(entry.path)
        path = entry.path.removeprefix("records/")
        body = store.place.get_bytes(entry.path)
        if body is None:
            continue  # deleted since it was listed
        try:
            named = _named(json.loads(body), None if match is None else match[2])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                f"{path} in {store.url} is no record of a release that can be read, so nobody can say what it needs. "
                "Restore it from a backup, or delete it; then collect garbage again."
            ) from error
        for one in named:
            yield _ReleaseRecord(
                entry=entry,
                version=one.version,
                artifact=one.artifact,
                is_known=match is not None and match[2] == "known",
            )


def _named(record: Any, kind: str | None) -> list[Slot]:  # Any: parsed JSON
    """Return the releases that a record of the registry names. Raises ValueError or the like where it is none."""
    if kind is None:
        raise ValueError("it is no record of the registry")
    if kind != "log":
        return [Slot(version=record["version"], artifact=record["artifact"])]
    state = State.from_json(record)
    slots = [slot for slot in (state.champion, state.challenger, state.shadow) if slot is not None]
    return slots + [Slot(version=one.version, artifact=one.artifact) for one in state.imported]


def _dropped(kind: Any, entry: Entry, reason: str, artifact: str = "") -> Garbage:  # Any: one of two words
    return Garbage(kind=kind, path=entry.path, bytes=entry.bytes, reason=reason, artifact=artifact)


def _name(path: str) -> str:
    return path.rpartition("/")[2].removesuffix(".json")
