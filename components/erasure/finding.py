"""Finding what of a store is a student's: by lineage, and by a search of every byte."""

import json
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

from components.artifacts import RawFiles, Release, ScoredWriting, StudentLogs, TeacherOverrides, TextDataset
from components.erasure.search import Seen, Wanted, search_file
from components.erasure.subject import MEMBER_LENGTH, Subject, read_logs, read_texts, read_writing
from components.errors import StoreError
from components.manifest import MANIFEST, RETIRED
from components.overrides import FILE, parsed
from components.schema import STUDENTS
from components.store import Store
from components.tombstones import name_of
from components.upkeep.inventory import Inventory, StoredArtifact, take_inventory

Holds = Literal["pseudonym", "text", "features", "vocabulary", "unreadable", "unknown"]
MEMBERS = "students.json"
"""File that takes the place of the data of logs: who was in them, see `members_of`."""
LOGS = frozenset({StudentLogs.__name__, ScoredWriting.__name__, TeacherOverrides.__name__})


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One artifact that has to do with a student."""

    sha256: str
    kind: str
    holds: tuple[Holds, ...]
    """What of the student's data lies in its files; empty for one that was only made from them."""
    version: str = ""
    """Of a release."""
    application: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What of a store has to do with a student."""

    subject: Subject
    artifacts: tuple[Found, ...]
    """What was made before what it was made from."""
    raw_files: tuple[str, ...]
    """Addresses of the source's own files that the student's rows were read from."""
    other_keys: tuple[str, ...]
    """Ids of keys whose pseudonyms are in the store, and under which the student was not looked for."""


def find(store: Store, subject: Subject, key_id: str, known: Mapping[str, frozenset[Holds]] | None = None) -> Finding:
    """Return what the store holds of a student.

    Args:
        store: the store.
        subject: at least the pseudonym, and what else is known.
        key_id: of the key that made it.
        known: identity -> what an earlier, unfinished erasure of the same student found there.

    Raises:
        StoreError: the store cannot be read.
    """
    inventory = take_inventory(store)
    manifests = {sha256: _manifest(store, sha256) for sha256 in inventory.artifacts}
    roots, files, untold = set[str](), set[str](), set[str]()
    for sha256, manifest in manifests.items():
        if manifest.get("kind") in LOGS and _is_member(store, sha256, manifest, subject.pseudonym):
            roots.add(sha256)
    for sha256, manifest in manifests.items():
        kind = manifest.get("kind")
        if RETIRED in manifest or kind not in {*LOGS, TextDataset.__name__}:
            continue
        try:
            folder = store.folder(store.find(sha256))
        except StoreError:  # a damaged one: the search reads its bytes, and that is all that can be known
            untold.add(sha256)
            continue
        if kind == TextDataset.__name__:
            subject = subject.and_(read_texts(folder, subject.pseudonym))
        elif kind != TeacherOverrides.__name__:
            read = read_logs if kind == StudentLogs.__name__ else read_writing
            own, places = read(folder, subject.pseudonym)
            subject = subject.and_(own)
            files |= set(_raw_uris(inventory, manifests, sha256, places))
    wanted = Wanted.of(subject.pseudonyms(), subject.long_texts(), subject.rows)
    holds = {
        sha256: _holds(store, one, manifests[sha256], subject, wanted) for sha256, one in inventory.artifacts.items()
    }
    for sha256, earlier in (known or {}).items():
        if sha256 in holds and RETIRED not in manifests[sha256]:
            holds[sha256] |= earlier
    roots |= {sha256 for sha256, what in holds.items() if "pseudonym" in what}
    children = _children(inventory)
    below = _below(roots, children)
    untold |= {one for one, its in manifests.items() if RETIRED in its and its["kind"] in {*LOGS, TextDataset.__name__}}
    for sha256 in below - set(known or ()):  # the data by which it could be told may be gone, for somebody else
        is_there = manifests.get(sha256, {}).get("kind") == Release.__name__ and RETIRED not in manifests[sha256]
        if is_there and not holds[sha256] and untold & inventory.with_parents([sha256]):
            holds[sha256] |= {"unknown"}
    concerned = below | {sha256 for sha256, what in holds.items() if what}
    ordered = [sha256 for sha256 in _leaves_first(concerned, children) if sha256 in manifests]
    return Finding(
        subject=subject,
        artifacts=tuple(_found(sha256, manifests[sha256], holds[sha256]) for sha256 in ordered),
        raw_files=tuple(sorted(files)),
        other_keys=tuple(sorted(_other_keys(manifests.values(), key_id))),
    )


@contextmanager
def local_copy(store: Store, path: str) -> Iterator[Path]:
    """Give an object of the store as a local file; a copy of a remote one is deleted afterwards."""
    if store.local_root is not None:
        yield store.local_root / path
        return
    folder = Path(tempfile.mkdtemp(prefix="homeroom-erase-"))
    try:
        store.place.get_file(path, folder / "object")
        yield folder / "object"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def seen_in(store: Store, path: str, wanted: Wanted) -> Seen:
    """Return what an object of the store holds; nothing where it is gone meanwhile."""
    try:
        with local_copy(store, path) as file:
            return search_file(file, wanted)
    except FileNotFoundError:
        return Seen(frozenset())


def key_of(store: Store, pseudonym: str) -> str:
    """Return the id of the key that made a pseudonym, as the logs with it say; empty where none has it."""
    for sha256 in take_inventory(store).artifacts:
        manifest = _manifest(store, sha256)
        if manifest.get("kind") in LOGS and _is_member(store, sha256, manifest, pseudonym):
            facts = manifest["facts"]
            keys = facts.get("pseudonym_key_ids") or [facts.get("pseudonym_key_id", "")]
            return str(keys[0])
    return ""


def _manifest(store: Store, sha256: str) -> dict[str, Any]:  # Any: plain JSON
    body = store.place.get_bytes(f"artifacts/{sha256}/{MANIFEST}")
    with suppress(ValueError):
        value = json.loads(body) if body is not None else None
        if isinstance(value, dict):
            return value
    return {}


def _is_member(store: Store, sha256: str, manifest: Mapping[str, Any], pseudonym: str) -> bool:
    """Return whether somebody is in logs, also in such as were retired on somebody's account."""
    if RETIRED in manifest:
        body = store.place.get_bytes(f"artifacts/{sha256}/{MEMBERS}")
        return body is not None and name_of(pseudonym)[:MEMBER_LENGTH] in json.loads(body)
    return pseudonym in students_of(store, sha256, manifest["kind"])


def students_of(store: Store, sha256: str, kind: str) -> frozenset[str]:
    """Return the pseudonyms of all students in logs; none where they cannot be read."""
    name = FILE if kind == TeacherOverrides.__name__ else STUDENTS
    try:
        with local_copy(store, f"artifacts/{sha256}/{name}") as path:
            if name == FILE:
                return frozenset(one.student for one in parsed(path.read_bytes()).overrides if one.student is not None)
            return frozenset(pl.read_parquet(path, columns=["student"])["student"].to_list())
    except (OSError, pl.exceptions.PolarsError):
        return frozenset()


def _holds(
    store: Store, one: StoredArtifact, manifest: Mapping[str, Any], subject: Subject, wanted: Wanted
) -> frozenset[Holds]:
    found: set[Holds] = set()
    for path in one.paths:
        if path.endswith((f"/{MANIFEST}", f"/{MEMBERS}")):
            continue
        seen = seen_in(store, path, wanted)
        found |= seen.found
        if seen.unreadable:
            found.add("unreadable")
    if manifest.get("kind") == Release.__name__ and RETIRED not in manifest and subject.names:
        body = store.place.get_bytes(f"artifacts/{one.sha256}/codec.json") or b"{}"
        if subject.names & set(_texts_in(json.loads(body))):
            found.add("vocabulary")
    return frozenset(found)


def _texts_in(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value.keys()
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from _texts_in(one)


def _raw_uris(
    inventory: Inventory, manifests: Mapping[str, Mapping[str, Any]], sha256: str, places: Iterable[int]
) -> Iterator[str]:
    """Return the addresses of the raw files with these indices that logs were read from, by any of their makings."""
    parents = set(inventory.artifacts[sha256].parents)
    parents |= {parent for record in inventory.stages if record.artifact == sha256 for parent in record.parents}
    for parent in parents:
        manifest = manifests.get(parent, {})
        if manifest.get("kind") == RawFiles.__name__:
            uris, roles = manifest["facts"]["uris"], manifest["facts"]["roles"]
            yield from (uris[n] for n in places if n < len(uris) and roles[n] != "overrides")


def _children(inventory: Inventory) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for sha256, one in inventory.artifacts.items():
        for parent in one.parents:
            found[parent].add(sha256)
    for record in inventory.stages:
        for parent in record.parents:
            found[parent].add(record.artifact)
    return found


def _below(roots: Iterable[str], children: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        sha256 = waiting.pop()
        if sha256 not in found:
            found.add(sha256)
            waiting += children.get(sha256, ())
    return found


def _leaves_first(chosen: Iterable[str], children: Mapping[str, set[str]]) -> list[str]:
    """Return identities so that each comes after all that was made from it."""
    wanted, done, out = set(chosen), set[str](), list[str]()

    def add(sha256: str) -> None:
        stack = [(sha256, iter(sorted(children.get(sha256, ()))))]
        done.add(sha256)
        while stack:
            one, rest = stack[-1]
            child = next((c for c in rest if c not in done), None)
            if child is None:
                stack.pop()
                out.append(one)
            else:
                done.add(child)
                stack.append((child, iter(sorted(children.get(child, ())))))

    for sha256 in sorted(wanted):
        if sha256 not in done:
            add(sha256)
    return [sha256 for sha256 in out if sha256 in wanted]


def _other_keys(manifests: Iterable[Mapping[str, Any]], key_id: str) -> set[str]:
    found: set[str] = set()
    for manifest in manifests:
        if RETIRED not in manifest and (facts := manifest.get("facts")):
            found |= {str(one) for one in facts.get("pseudonym_key_ids") or ()}
            found |= {str(facts["pseudonym_key_id"])} if facts.get("pseudonym_key_id") else set()
    return found - {key_id}


def _found(sha256: str, manifest: Mapping[str, Any], holds: frozenset[Holds]) -> Found:
    facts = manifest.get("facts") or {}
    return Found(
        sha256=sha256,
        kind=str(manifest.get("kind", "half an artifact")),
        holds=tuple(sorted(holds)),
        version=str(facts.get("version", "")),
        application=str(facts.get("application", "")),
    )
