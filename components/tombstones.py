"""Tombstones: students whose data were erased, so that no later ingest takes them in again.

    records/erased/<id of the pseudonym key>/<name>.json

The name is a digest of a pseudonym under a label of its own. It says who is left out to whoever has that pseudonym
already, as ingest has, and gives nobody a pseudonym. What the record holds says what erasing did
(`components/erasure/record.py`); ingest needs the names alone, which one listing gives.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from components.artifacts import digest_of
from components.store import Store

FOLDER = "erased"
Kind = Literal["student", "response"]
"""What a pseudonym is of. Where a source names no students, a response's pseudonym stands for one."""


def name_of(pseudonym: str, kind: Kind = "student") -> str:
    """Return the name of a pseudonym's tombstone: 64 hex digits."""
    return hashlib.sha256(f"homeroom erased {kind}\0{pseudonym}".encode()).hexdigest()


def path_of(key_id: str, name: str) -> str:
    """Return the path of a tombstone below the store's records."""
    return f"{FOLDER}/{key_id}/{name}.json"


@dataclass(frozen=True, slots=True)
class Tombstones:
    """Names of the tombstones in a store, by the id of the key that made the pseudonyms."""

    of_key: Mapping[str, frozenset[str]]

    def digest(self, key_id: str) -> str:
        """Return a digest over those of one key, for the key of a stage that leaves them out; empty where none is."""
        names = self.of_key.get(key_id, frozenset())
        return digest_of(sorted(names)) if names else ""

    def of_other_keys(self, key_id: str) -> int:
        """Return how many cannot be applied by who has this key."""
        return sum(len(names) for other, names in self.of_key.items() if other != key_id)

    def erased(self, key_id: str, pseudonyms: Iterable[str], kind: Kind = "student") -> frozenset[str]:
        """Return those of the pseudonyms, made with a key, that have a tombstone."""
        names = self.of_key.get(key_id)
        return frozenset(one for one in pseudonyms if name_of(one, kind) in names) if names else frozenset()


NONE = Tombstones({})


def read_tombstones(store: Store) -> Tombstones:
    """Return the tombstones in a store.

    Raises:
        StoreError: the store cannot be read.
    """
    found: dict[str, set[str]] = defaultdict(set)
    for path in store.list_records(FOLDER):
        _, key_id, name = path.split("/")
        found[key_id].add(name.removesuffix(".json"))
    return Tombstones({key_id: frozenset(names) for key_id, names in found.items()})
