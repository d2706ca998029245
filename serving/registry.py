"""The registry of releases: which one serves, which did before, and why; a few small records in the artifact store.

    releases/<application>/known/<version>.json           every release that was registered
    releases/<application>/current.json                   the pointer: one atomic write makes a release live
    releases/<application>/history/<utc>-<version>.json   one per change of the pointer, never overwritten
    releases/<application>/decisions/<version>/<utc>.json what the gate decided (components/gate/records.py)

The pointer decides. The history entry is written first, so that no change is without one. An entry names the one that
it follows; what a crash in between leaves is an entry that nothing follows and the pointer does not name: it never
served, and is no part of the history.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from components.artifacts import Release, artifact_from_json
from components.errors import StoreConflictError, StoreError
from components.gate.override import Override
from components.store import Store
from serving.errors import ReleaseNotFoundError

STAMP = "%Y%m%dT%H%M%S.%fZ"
DEPLOY_STAGE = "deploy"
"""Stage whose records name releases that were made but never registered."""
_VERSION = re.compile(r"([a-z][a-z0-9_]*)-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """One change of what serves."""

    version: str
    artifact: str
    """SHA-256 of the Release artifact."""
    since: str
    """When, in UTC."""
    reason: str
    action: Literal["promote", "rollback"]
    follows: str | None = None
    """`since` of the change before it, empty for the first; None in entries of homeroom 0.1, which did not say."""
    override: Override | None = None
    """A person's word that let the release through the gate."""

    def to_json(self) -> dict[str, Any]:  # Any: parsed JSON
        """Return the fields as plain JSON values."""
        return {
            "version": self.version,
            "artifact": self.artifact,
            "since": self.since,
            "reason": self.reason,
            "action": self.action,
            "follows": self.follows,
            "override": None if self.override is None else self.override.to_json(),
        }

    @classmethod
    def from_json(cls, value: Any) -> "Pointer":  # Any: parsed JSON
        """Rebuild from `to_json`'s value."""
        override = value.get("override")
        return cls(
            version=value["version"],
            artifact=value["artifact"],
            since=value["since"],
            reason=value["reason"],
            action=value["action"],
            follows=value.get("follows"),
            override=None if override is None else Override.from_json(override),
        )


class ReleaseRegistry:
    """Reads and changes which release of each application serves."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def register(self, release: Release) -> None:
        """Make a release known by its version, without serving it. Registering it again changes nothing.

        Raises:
            ReleaseNotFoundError: its version is not spelled like one of its application's.
        """
        path = f"{_folder_of(release)}/known/{release.version}.json"
        self._store.write_record(path, {"version": release.version, "artifact": release.sha256})

    def promote(self, release: Release, reason: str, *, override: Override | None = None) -> Pointer:
        """Make `release` the one that serves; its files are verified first.

        Args:
            release: to serve.
            reason: for the record.
            override: what let it through the gate.

        Raises:
            StoreError: the artifact is not whole.
        """
        self.register(release)
        self._store.use(release)
        return self._point(release, reason, "promote", override)

    def current(self, application: str) -> Pointer | None:
        """Return what serves, or None.

        Raises:
            StoreError: the record that says so is damaged: what serves, and what it is compared with, is not known.
        """
        path = f"{_folder(application)}/current.json"
        value = self._store.read_record(path)
        if value is None and self._store.place.get_bytes(f"records/{path}") is None:
            return None
        try:
            return Pointer.from_json(value)
        except (KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                f"records/{path} in {self._store.url} is damaged, so nobody can say which release serves. Restore it "
                f"from a backup, or say it anew: `homeroom releases {application} --promote VERSION`."
            ) from error

    def history(self, application: str) -> list[Pointer]:
        """Return the changes that took place, oldest first; one whose process was killed before it did is left out."""
        return _taken_place(self._entries(application), self.current(application))

    def _entries(self, application: str) -> list[Pointer]:
        paths = self._store.list_records(f"{_folder(application)}/history")
        values = [self._store.read_record(path) for path in sorted(paths)]
        return [Pointer.from_json(value) for value in values if value is not None]

    def rollback(
        self, application: str, reason: str, to: str | None = None, *, override: Override | None = None
    ) -> Pointer:
        """Make an earlier release serve again.

        Args:
            application: its name.
            reason: for the record.
            to: version or unique prefix; None takes what served before the current release was promoted, so that a
                second rollback goes one further back.
            override: what let it through the gate.

        Raises:
            ReleaseNotFoundError: there is nothing to go back to.
            StoreError: its artifact is not whole any more.
        """
        release = self.before(application, to)
        self._store.use(release)
        return self._point(release, reason, "rollback", override)

    def before(self, application: str, to: str | None = None) -> Release:
        """Return the release that `rollback` goes back to. Raises ReleaseNotFoundError where there is none."""
        if to is not None:
            return self.find(to, application)
        served = self._served(application)
        if len(served) < 2:
            raise ReleaseNotFoundError(
                f"{application} has no release before the current one to go back to. Name one with to=, or promote one."
            )
        return self._release(served[-2].artifact)

    def find(self, version: str, application: str | None = None) -> Release:
        """Return the release with this version, or the only one whose version (or its hex part) begins like this.

        Raises:
            ReleaseNotFoundError: there is none, or more than one.
        """
        known = {v: sha for v, sha in self._known(application).items() if _fits(v, version)}
        if version in known:
            known = {version: known[version]}
        if len(known) != 1:
            found = f"{len(known)} releases begin like this: {', '.join(sorted(known))}" if known else "there is none"
            raise ReleaseNotFoundError(
                f"No single release {version!r}: {found}. Give more of the version; `homeroom releases` lists them."
            )
        return self._release(next(iter(known.values())))

    def _known(self, application: str | None) -> dict[str, str]:
        """Return version -> identity of all releases that were registered, or made by a run in this store."""
        found: dict[str, str] = {}
        for path in self._store.list_records("releases" if application is None else _folder(application)):
            if path.split("/")[2] == "known" and (value := self._store.read_record(path)) is not None:
                found[value["version"]] = value["artifact"]
        for path in self._store.list_records("stages" if application is None else f"stages/{application}"):
            if path.split("/")[2] == DEPLOY_STAGE and (made := _release_in(self._store.read_record(path))) is not None:
                found.setdefault(made.version, made.sha256)
        return found

    def _served(self, application: str) -> list[Pointer]:
        """Return the promotions that are not undone, oldest first; the last is what serves."""
        stack: list[Pointer] = []
        for entry in self.history(application):
            if entry.action == "rollback":
                at = next((i for i in reversed(range(len(stack))) if stack[i].version == entry.version), None)
                stack = stack[:at] if at is not None else stack
            if not stack or stack[-1].version != entry.version:
                stack.append(entry)
        return stack

    def _release(self, sha256: str) -> Release:
        artifact = self._store.find(sha256)
        if not isinstance(artifact, Release):
            raise ReleaseNotFoundError(
                f"{sha256[:12]} is a {artifact.kind}, no release: the registry's record was changed. Promote again."
            )
        return artifact

    def _point(
        self, release: Release, reason: str, action: Literal["promote", "rollback"], override: Override | None
    ) -> Pointer:
        with self._store.locked(f"releases-{release.application}", lambda: None):
            return self._point_alone(release, reason, action, override)

    def _before(self, application: str) -> Pointer | None:
        """Return what serves; where the pointer is damaged, the latest change that was written down."""
        try:
            return self.current(application)
        except StoreError:
            return next(iter(self._entries(application)[::-1]), None)

    def _point_alone(
        self, release: Release, reason: str, action: Literal["promote", "rollback"], override: Override | None
    ) -> Pointer:
        folder = _folder_of(release)
        past = self._store.list_records(f"{folder}/history")
        before = self._before(release.application)
        now = datetime.now(UTC)
        if past:  # never before the latest entry, whatever this machine's clock says
            latest = past[-1].rpartition("/")[2].partition("-")[0]
            now = max(now, datetime.strptime(latest, STAMP).replace(tzinfo=UTC) + timedelta(microseconds=1))
        while True:
            stamp = now.strftime(STAMP)
            pointer = Pointer(
                version=release.version,
                artifact=release.sha256,
                since=stamp,
                reason=reason,
                action=action,
                follows="" if before is None else before.since,
                override=override,
            )
            path = f"{folder}/history/{stamp}-{release.version}.json"
            try:
                self._store.write_record(path, pointer.to_json(), create=True)
                break
            except StoreConflictError:  # somebody did the same in the same microsecond
                now += timedelta(microseconds=1)
        self._store.write_record(f"{folder}/current.json", pointer.to_json())
        return pointer


def _taken_place(entries: list[Pointer], current: Pointer | None) -> list[Pointer]:
    """Return the entries on the way back from `current`, oldest first.

    Older entries do not say what they follow: all before one of them count. So do all before an entry that is gone.
    """
    by_time = {entry.since: entry for entry in entries}
    found: list[Pointer] = []
    entry = current
    while entry is not None:
        found.append(entry)
        if entry.follows == "":
            break
        before = by_time.get(entry.follows or "")
        if before is None:
            until = entry.follows or entry.since
            found += [e for e in reversed(entries) if e.since < until]
        entry = before
    return found[::-1]


def _folder(application: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", application):
        raise ReleaseNotFoundError(f"{application!r} is no application's name: small letters, digits and `_`.")
    return f"releases/{application}"


def _folder_of(release: Release) -> str:
    match = _VERSION.fullmatch(release.version)
    if match is None or match[1] != release.application:
        raise ReleaseNotFoundError(
            f"{release.version!r} is no version of {release.application}; expected `<application>-<12 hex digits>`."
        )
    return _folder(release.application)


def _fits(version: str, wanted: str) -> bool:
    return bool(wanted) and (version.startswith(wanted) or version.rpartition("-")[2].startswith(wanted))


def _release_in(record: Any) -> Release | None:  # Any: parsed JSON
    try:
        artifact = artifact_from_json(record["artifact"])
    except (KeyError, TypeError, ValueError):
        return None  # an unfinished or older record
    return artifact if isinstance(artifact, Release) else None
