"""Which release of each application serves: known releases, and the changes of the log that people and runs make."""

import getpass
import re
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from components.artifacts import Release, artifact_from_json
from components.errors import ConfigError, StoreError
from components.gate.override import Override
from components.store import Store
from serving.errors import ReleaseNotFoundError
from serving.registry import legacy
from serving.registry.log import PointerLog, folder_of
from serving.registry.pointer import STAMP, Pointer
from serving.registry.state import Challenger, Change, Slot, State

DEPLOY_STAGE = "deploy"
"""Stage whose records name releases that were made but never registered."""
_VERSION = re.compile(r"([a-z][a-z0-9_]*)-[0-9a-f]{12}")


def this_person() -> str:
    """Return the name of the system's user, for the record of who changed what serves."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a number without a name, as in some containers
        return "unknown"


class ReleaseRegistry:
    """Reads and changes which release of each application serves.

    Every change takes `by` (who; the system's user by default), `decision` (digest of the decision document), and
    `expected` (number of the entry of the log that it was decided on; what is the last one at its start by default).
    Where somebody else was first, it raises StoreConflictError and changes nothing.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def log(self, application: str) -> PointerLog:
        """Return an application's log. Raises ReleaseNotFoundError where that is no application's name."""
        return PointerLog(self._store, application)

    def register(self, release: Release) -> None:
        """Make a release known by its version, without serving it. Registering it again changes nothing.

        Raises:
            ReleaseNotFoundError: its version is not spelled like one of its application's.
        """
        path = f"{_folder_of(release)}/known/{release.version}.json"
        self._store.write_record(path, {"version": release.version, "artifact": release.sha256})

    def promote(
        self,
        release: Release,
        reason: str,
        *,
        override: Override | None = None,
        by: str | None = None,
        decision: str | None = None,
        expected: int | None = None,
    ) -> Pointer:
        """Make `release` the one that serves; its files are verified first. A canary ends.

        Args:
            release: to serve.
            reason: for the record.
            override: what let it through the gate.
            by: as of the class.
            decision: likewise.
            expected: likewise. Where the last entry is damaged, a promotion is what says anew what serves.

        Raises:
            StoreConflictError: somebody else changed what serves meanwhile.
            StoreError: the artifact is not whole.
        """
        log = PointerLog(self._store, release.application)
        try:
            state = log.latest()
            last = 0 if state is None else state.number
        except StoreError:
            state, last = None, log.last_number()
        self.register(release)
        self._store.use(release)
        shadow = None if state is None or _is(state.shadow, release) else state.shadow
        change = Change(
            action="promote",
            by=by or this_person(),
            reason=reason,
            champion=_slot(release),
            shadow=shadow,
            decision=decision,
            override=override,
        )
        return _pointer(log.append(change, expected=last if expected is None else expected))

    def rollback(
        self,
        application: str,
        reason: str,
        to: str | None = None,
        *,
        override: Override | None = None,
        by: str | None = None,
        decision: str | None = None,
        expected: int | None = None,
    ) -> Pointer:
        """Make an earlier release serve again. A canary ends.

        Args:
            application: its name.
            reason: for the record.
            to: version or unique prefix; None takes what served before the current release was promoted, so that a
                second rollback goes one further back.
            override: what let it through the gate.
            by: as of the class.
            decision: likewise.
            expected: likewise.

        Raises:
            ReleaseNotFoundError: there is nothing to go back to.
            StoreConflictError: somebody else changed what serves meanwhile.
            StoreError: its artifact is not whole any more.
        """
        log = PointerLog(self._store, application)
        state = log.latest()
        release = self.before(application, to)
        self._store.use(release)
        last = 0 if state is None else state.number
        change = Change(
            action="rollback",
            by=by or this_person(),
            reason=reason,
            champion=_slot(release),
            shadow=None if state is None or _is(state.shadow, release) else state.shadow,
            decision=decision,
            override=override,
        )
        return _pointer(log.append(change, expected=last if expected is None else expected))

    def canary(
        self,
        release: Release,
        percent: int,
        reason: str,
        *,
        override: Override | None = None,
        by: str | None = None,
        decision: str | None = None,
        expected: int | None = None,
    ) -> State:
        """Give a share of the students to `release`, or another share where it is the challenger already.

        Args:
            release: the challenger.
            percent: share of the students, from 1 to 99.
            reason: for the record.
            override: what let it through the gate.
            by: as of the class.
            decision: likewise.
            expected: likewise.

        Raises:
            ConfigError: the share makes no sense, or the release serves already.
            ReleaseNotFoundError: nothing serves that it could be a challenger of.
            StoreConflictError: somebody else changed what serves meanwhile.
            StoreError: the artifact is not whole.
        """
        log, state = self._beside_a_champion(release)
        challenger = Challenger(version=release.version, artifact=release.sha256, percent=percent)
        change = Change(
            action="canary" if _is(state.challenger, release) else "challenge",
            by=by or this_person(),
            reason=reason,
            champion=state.champion,
            challenger=challenger,
            shadow=None if _is(state.shadow, release) else state.shadow,
            decision=decision,
            override=override,
        )
        return log.append(change, expected=state.number if expected is None else expected)

    def shadow(self, release: Release, reason: str, *, by: str | None = None, expected: int | None = None) -> State:
        """Let `release` answer beside the champion, seen by nobody but the comparison log; arguments as above.

        Raises:
            ConfigError: the release serves already.
            ReleaseNotFoundError: nothing serves that it could be compared with.
            StoreConflictError: somebody else changed what serves meanwhile.
            StoreError: the artifact is not whole.
        """
        log, state = self._beside_a_champion(release)
        change = Change(
            action="shadow",
            by=by or this_person(),
            reason=reason,
            champion=state.champion,
            challenger=None if _is(state.challenger, release) else state.challenger,
            shadow=_slot(release),
        )
        return log.append(change, expected=state.number if expected is None else expected)

    def withdraw(
        self,
        application: str,
        reason: str,
        what: Literal["challenger", "shadow"] = "challenger",
        *,
        by: str | None = None,
        expected: int | None = None,
    ) -> State:
        """End a canary or a shadow; the champion has all students again. Arguments as above.

        Raises:
            ReleaseNotFoundError: there is none.
            StoreConflictError: somebody else changed what serves meanwhile.
        """
        log = PointerLog(self._store, application)
        state = log.latest()
        if state is None or getattr(state, what) is None:
            raise ReleaseNotFoundError(f"{application} has no {what} to withdraw; `homeroom releases` shows its slots.")
        change = Change(
            action="withdraw",
            by=by or this_person(),
            reason=reason,
            champion=state.champion,
            challenger=None if what == "challenger" else state.challenger,
            shadow=None if what == "shadow" else state.shadow,
        )
        return log.append(change, expected=state.number if expected is None else expected)

    def current(self, application: str) -> Pointer | None:
        """Return what serves, or None.

        Raises:
            StoreError: the record that says so is damaged: what serves, and what it is compared with, is not known.
        """
        log = PointerLog(self._store, application)
        state = log.latest()
        if state is None or state.champion is None:
            return None
        if state.pointer is None:  # a canary or a shadow came after it
            before = [one for one in self._changes(log) if one.version == state.champion.version]
            return before[-1] if before else replace(_pointer_of(state), reason="its entry of the log is gone")
        if state.number == 0:  # with all that `current.json` says
            return legacy.current(self._store, folder_of(application))
        return state.pointer

    def history(self, application: str) -> list[Pointer]:
        """Return the changes of the champion that took place, oldest first, with those from before the log.

        Raises:
            StoreError: as `current`.
        """
        log = PointerLog(self._store, application)
        state = log.latest()
        if state is None:
            return []
        return legacy.history(self._store, folder_of(application)) if state.number == 0 else self._changes(log)

    def champion_at(self, application: str, when: datetime) -> Pointer | None:
        """Return what served at a time, or None where nothing did.

        It is the last change, in the order of the log, that says it was made by then.
        """
        stamp = when.strftime(STAMP)
        found = [one for one in self.history(application) if one.since <= stamp]
        return found[-1] if found else None

    def before(self, application: str, to: str | None = None) -> Release:
        """Return the release that `rollback` goes back to. Raises ReleaseNotFoundError where there is none."""
        if to is not None:
            return self.find(to, application)
        served = self._served(application)
        if len(served) < 2:
            raise ReleaseNotFoundError(
                f"{application} has no release before the current one to go back to; `--to VERSION` names another."
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

    def versions(self, application: str) -> frozenset[str]:
        """Return the versions of an application's releases that were registered, or made by a run in this store."""
        return frozenset(self._known(application))

    def _known(self, application: str | None) -> dict[str, str]:
        """Return version -> identity of all releases that were registered, or made by a run in this store."""
        found: dict[str, str] = {}
        for path in self._store.list_records("releases" if application is None else folder_of(application)):
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

    def _changes(self, log: PointerLog) -> list[Pointer]:
        entries = list(log.entries())
        imported = entries[0].imported if entries else ()
        return [*imported, *(one.pointer for one in entries if one.pointer is not None)]

    def _beside_a_champion(self, release: Release) -> tuple[PointerLog, State]:
        log = PointerLog(self._store, release.application)
        state = log.latest()
        if state is None or state.champion is None:
            raise ReleaseNotFoundError(
                f"Nothing serves for {release.application}, so there is nothing to compare {release.version} with. "
                "Promote a release first."
            )
        if _is(state.champion, release):
            raise ConfigError(f"{release.version} serves all students already; name another release.")
        self.register(release)
        self._store.use(release)
        return log, state


def _slot(release: Release) -> Slot:
    return Slot(version=release.version, artifact=release.sha256)


def _is(slot: Slot | None, release: Release) -> bool:
    return slot is not None and slot.version == release.version


def _pointer(state: State) -> Pointer:
    pointer = state.pointer
    assert pointer is not None  # it was written as a change of the champion
    return pointer


def _pointer_of(state: State) -> Pointer:
    assert state.champion is not None  # asked for only then
    return Pointer(
        version=state.champion.version,
        artifact=state.champion.artifact,
        since=state.at,
        reason=state.reason,
        action="promote",
        override=state.champion.override,
        decision=state.champion.decision,
        number=state.number,
    )


def _folder_of(release: Release) -> str:
    match = _VERSION.fullmatch(release.version)
    if match is None or match[1] != release.application:
        raise ReleaseNotFoundError(
            f"{release.version!r} is no version of {release.application}; expected `<application>-<12 hex digits>`."
        )
    return folder_of(release.application)


def _fits(version: str, wanted: str) -> bool:
    return bool(wanted) and (version.startswith(wanted) or version.rpartition("-")[2].startswith(wanted))


def _release_in(record: Any) -> Release | None:  # Any: parsed JSON
    try:
        artifact = artifact_from_json(record["artifact"])
    except (KeyError, TypeError, ValueError):
        return None  # an unfinished or older record
    return artifact if isinstance(artifact, Release) else None
