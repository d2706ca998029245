"""Erasing a student: the tombstone first, then the data, then the proof. The same call finishes what a kill cut off.

The order is what makes it safe. From the tombstone on, no ingest takes the student in. What was made from something
goes before it, so that what is left is enough to find the rest. A run under way may have read the student before the
tombstone, so nothing else is done while one is.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from components.artifacts import RawFiles, Release
from components.erasure.finding import Found, Holds, find, seen_in
from components.erasure.retiring import retire
from components.erasure.search import Seen, Wanted, search_file
from components.erasure.subject import Subject
from components.errors import StoreConflictError, StoreError
from components.manifest import RETIRED
from components.overrides import Journal, Override, parsed
from components.store import Store
from components.tombstones import name_of, path_of
from components.upkeep import leases, names
from components.upkeep.leftovers import held_alone, stages_at_work
from components.upkeep.sweeping import SweepNotice

Releases = Literal["keep", "retire"]
OBJECTS = ("artifacts", "records", "tmp", "gc")
"""What a store keeps of its own at its place."""
ON_THIS_MACHINE = ("jobs", "tmp", "runs", "locks", "cache", "artifacts")
TELLING = frozenset({"pseudonym", "text", "features"})
"""What of somebody's data a search finds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What becomes of an artifact."""

    found: Found
    fate: Literal["retired", "kept", "was retired"]
    serves: str = ""
    """Of a release: as what it serves now; empty where it does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A file that holds something of the student."""

    path: str
    what: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a search of every byte found when all was done."""

    files: int
    bytes: int
    hits: tuple[Hit, ...]
    """Where something is left that should not be."""
    remains: tuple[Hit, ...]
    """In releases that were kept on purpose."""
    unreadable: tuple[Hit, ...]
    """Packed in a way that could not be opened: nobody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """What an erasure did, or would do."""

    key_id: str
    tombstone: str
    fates: tuple[Fate, ...]
    overrides: Mapping[str, int]
    """Journal -> overrides that go, or went."""
    leftovers: tuple[str, ...]
    """Folders of dead runs on this machine that go, or went."""
    raw_files: tuple[str, ...]
    other_keys: tuple[str, ...]
    proof: Proof | None
    """None where nothing was changed."""

    @property
    def is_proven(self) -> bool:
        """Whether the search found nothing but what was kept on purpose, and could read all of it."""
        return self.proof is not None and not self.proof.hits and not self.proof.unreadable

    def releases(self) -> list[Fate]:
        """Return the releases that were made from the student's data."""
        return [one for one in self.fates if one.found.kind == Release.__name__]


def erase(
    store: Store,
    subject: Subject,
    key_id: str,
    *,
    serving: Callable[[], Mapping[str, str]],
    journals: Sequence[Path],
    elsewhere: Sequence[Path] = (),
    releases: Releases = "keep",
    really: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Erasure:
    """Erase a student from a store, or say what that would do.

    Args:
        store: the store.
        subject: the student's pseudonym, and texts that are known to be theirs.
        key_id: of the key that made it.
        serving: says which releases serve now: identity -> as what. It is asked again before anything is deleted, when
            no other can be taken into use any more.
        journals: folders with teachers' overrides.
        elsewhere: further folders of this installation to search.
        releases: what becomes of releases made from the student's data. Those that serve are kept in any case.
        really: do it; else nothing is changed.
        say: shows one line of progress.

    Raises:
        StoreError: runs are under way (the tombstone is written then), a garbage collection is at work, or something
            cannot be read or written.
    """
    name = name_of(subject.pseudonym)
    record = _Record.read(store, key_id, name)
    if really:
        record.begin()
        _check_nothing_runs(store)
    marks = _marks(store)
    say("searching the store")
    finding = find(store, subject, key_id, record.holds())
    now = serving()
    fates = tuple(_fate(store, one, now, releases) for one in finding.artifacts if one.kind != RawFiles.__name__)
    condemned = [one.found.sha256 for one in fates if one.fate != "kept"]
    done = Erasure(
        key_id=key_id,
        tombstone=name,
        fates=fates,
        overrides={},
        leftovers=(),
        raw_files=finding.raw_files,
        other_keys=finding.other_keys,
        proof=None,
    )
    theirs = _is_theirs(finding.subject)
    wanted = wanted_of(finding.subject)
    leftovers = list(_leftovers(store, condemned, wanted))
    if not really:
        return replace(done, overrides=_counted(journals, theirs), leftovers=tuple(str(one) for one in leftovers))
    record.found(fates, finding.subject)
    overrides = {str(folder): Journal(folder).drop(theirs, _hidden(finding.subject)) for folder in journals}
    for one in leftovers:
        shutil.rmtree(one, ignore_errors=True)
    with SweepNotice(store.place, condemned) as notice:
        now = serving()
        used = {one for one, when in _marks(store).items() if marks.get(one) != when}
        fates = tuple(_spared(fate, now, used) for fate in fates)
        done = replace(done, fates=fates)
        for fate in fates:
            if fate.fate != "kept":
                notice.renew()
                retire(store, fate.found.sha256, name)
                say(f"retired {fate.found.kind} {fate.found.sha256[:12]}")
    for folder in journals:  # a teacher may have sent one meanwhile
        overrides[str(folder)] += Journal(folder).drop(theirs, _hidden(finding.subject))
    say("searching everything again")
    kept = frozenset(one.found.sha256 for one in done.releases() if one.fate == "kept")
    proof = prove(store, wanted, [*journals, *elsewhere], kept)
    done = replace(
        done,
        overrides={folder: count for folder, count in overrides.items() if count},
        leftovers=tuple(str(one) for one in leftovers),
        proof=proof,
    )
    record.end(done)
    return done


def wanted_of(subject: Subject) -> Wanted:
    """Return what to search for."""
    return Wanted.of(subject.pseudonyms(), subject.long_texts(), subject.rows)


def prove(store: Store, wanted: Wanted, folders: Sequence[Path], kept: frozenset[str]) -> Proof:
    """Search every file of a store and of folders.

    Args:
        store: the store; of a remote one its copies on this machine too.
        wanted: what to look for.
        folders: more to search.
        kept: identities of releases that may hold features and texts, as they were kept on purpose.
    """
    files = size = 0
    hits, remains, unreadable = list[Hit](), list[Hit](), list[Hit]()
    for path, bytes_, seen in _everything(store, wanted, folders):
        files += 1
        size += bytes_
        is_kept = path.startswith("artifacts/") and path.split("/")[1] in kept
        if seen.found:
            spared = is_kept and "pseudonym" not in seen.found
            (remains if spared else hits).append(Hit(path=path, what=tuple(sorted(seen.found))))
        if seen.unreadable:
            unreadable.append(Hit(path=path, what=(seen.unreadable,)))
    return Proof(files=files, bytes=size, hits=tuple(hits), remains=tuple(remains), unreadable=tuple(unreadable))


def _everything(store: Store, wanted: Wanted, folders: Sequence[Path]) -> Iterator[tuple[str, int, Seen]]:
    for prefix in OBJECTS:
        for entry in store.place.entries(prefix):
            yield entry.path, entry.bytes, seen_in(store, entry.path, wanted)
    own = [store.local_folder / name for name in ON_THIS_MACHINE]
    skipped = {store.local_root / name for name in OBJECTS} if store.local_root is not None else set()
    done: set[Path] = set()
    for folder in [one for one in own if one not in skipped] + list(folders):
        for path in _files_below(folder):
            if path in done:
                continue
            done.add(path)
            with suppress(FileNotFoundError):
                yield str(path), path.stat().st_size, search_file(path, wanted)


def _files_below(folder: Path) -> Iterator[Path]:
    for where, _, found in os.walk(folder):
        for name in found:
            path = Path(where, name)
            if path.is_file() and not path.is_symlink():
                yield path


def _check_nothing_runs(store: Store) -> None:
    live = [f"{lease.run} ({lease.application}, {lease.host})" for lease in leases.running(store)]
    live += sorted(name for name in stages_at_work(store) if not name.startswith("run-"))  # those have leases
    if live:
        raise StoreError(
            f"{len(live)} run(s) or stage(s) are under way, which may have read the student's data before: "
            f"{', '.join(live)}. The tombstone is written, so what begins from now on is without the student. Wait for "
            "them to end (`homeroom runs`) or stop them, then run the same command again."
        )


def _fate(store: Store, one: Found, serving: Mapping[str, str], releases: Releases) -> Fate:
    serves = serving.get(one.sha256, "")
    manifest = store.manifest_value(one.sha256)
    if manifest is not None and RETIRED in manifest:
        return Fate(found=one, fate="was retired")
    is_telling = bool(TELLING & set(one.holds))
    goes = releases == "retire" and not serves if one.kind == Release.__name__ else is_telling
    return Fate(found=one, fate="retired" if goes else "kept", serves=serves)


def _spared(fate: Fate, serving: Mapping[str, str], used: Set[str]) -> Fate:
    """Return what becomes of an artifact, now that nobody can take another into use.

    A release that serves stays, and so does one that was taken into use during the search: whoever did may be about to
    make it serve.
    """
    if fate.found.kind != Release.__name__ or fate.fate != "retired":
        return fate
    serves = serving.get(fate.found.sha256, "just taken into use" if fate.found.sha256 in used else "")
    return replace(fate, fate="kept", serves=serves) if serves else fate


def _marks(store: Store) -> dict[str, object]:
    """Return when each artifact was last taken into use, by the store's own clock."""
    return {entry.path.removeprefix("used/"): entry.modified for entry in store.place.entries("used")}


def _is_theirs(subject: Subject) -> Callable[[Override], bool]:
    def check(one: Override) -> bool:
        if one.student is not None:
            return one.student == subject.pseudonym
        if one.response is not None:
            return one.response in subject.responses or one.response == subject.pseudonym
        return (one.prompt, one.text) in subject.texts

    return check


def _hidden(subject: Subject) -> list[bytes]:
    return [one.encode() for one in subject.pseudonyms()] + [
        json.dumps(text, ensure_ascii=False)[1:-1].encode() for text in subject.long_texts()
    ]


def _counted(journals: Sequence[Path], theirs: Callable[[Override], bool]) -> dict[str, int]:
    found = {}
    for folder in journals:
        path = Journal(folder).path
        if path.is_file():
            found[str(folder)] = sum(theirs(one) for one in parsed(path.read_bytes()).overrides)
    return {folder: count for folder, count in found.items() if count}


def _leftovers(store: Store, condemned: Sequence[str], wanted: Wanted) -> Iterator[Path]:
    """Yield what killed runs left on this machine that holds, or was made from, what goes."""
    home = store.local_folder
    of_condemned = Wanted(tuple(("text", sha256.encode()) for sha256 in condemned))
    for folder, is_ours in (("jobs", names.is_job), ("tmp", names.is_scratch)):
        for path in sorted((home / folder).glob("*")):
            if not is_ours(path.name):
                continue
            with held_alone(path) as alone:
                if not alone:
                    continue
            inside = list(_files_below(path)) if path.is_dir() else [path]
            if any(search_file(one, wanted).found for one in inside) or any(
                search_file(one, of_condemned).found for one in inside if one.name == "job.json"
            ):
                yield path


class _Record:
    """The record behind a tombstone: what was found and done, without anything of the student."""

    def __init__(self, store: Store, key_id: str, name: str, value: dict[str, Any]) -> None:
        self._store, self._key_id, self._name = store, key_id, name
        self._value = value

    @classmethod
    def read(cls, store: Store, key_id: str, name: str) -> "_Record":
        value = store.read_record(path_of(key_id, name))
        return cls(store, key_id, name, value if isinstance(value, dict) else {})

    def holds(self) -> dict[str, frozenset[Holds]]:
        """Return what was found in releases before their data were gone."""
        return {one["artifact"]: frozenset(one["holds"]) for one in self._value.get("releases", ())}

    def begin(self) -> None:
        """Write the tombstone."""
        if self._value:
            return
        self._value = {"format": 1, "kind": "student", "begun_utc": _now(), "finished_utc": None, "releases": []}
        with suppress(StoreConflictError):  # somebody else erases the same student
            self._store.write_record(path_of(self._key_id, self._name), self._value, create=True)

    def found(self, fates: Sequence[Fate], subject: Subject) -> None:
        """Note what can only be told while the data are there, and write the tombstones of the responses."""
        for response in sorted(subject.responses):
            path = path_of(self._key_id, name_of(response, "response"))
            with suppress(StoreConflictError):
                self._store.write_record(path, {"format": 1, "kind": "response"}, create=True)
        self._value["releases"] = [
            {
                "version": one.found.version,
                "artifact": one.found.sha256,
                "holds": list(one.found.holds),
                "fate": one.fate,
            }
            for one in fates
            if one.found.kind == Release.__name__
        ]
        self._write()

    def end(self, done: Erasure) -> None:
        """Note that it is done, and the proof."""
        assert done.proof is not None
        self._value["finished_utc"] = _now() if done.is_proven else None
        self._value["retired"] = [one.found.sha256 for one in done.fates if one.fate != "kept"]
        self._value["overrides"] = self._value.get("overrides", 0) + sum(done.overrides.values())
        self._value["proof"] = {
            "files": done.proof.files,
            "bytes": done.proof.bytes,
            "hits": len(done.proof.hits),
            "remains": len(done.proof.remains),
            "unreadable": len(done.proof.unreadable),
        }
        self._write()

    def _write(self) -> None:
        self._store.write_record(path_of(self._key_id, self._name), self._value)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


__all__ = ["Erasure", "Fate", "Hit", "Proof", "Releases", "erase", "prove", "wanted_of"]
