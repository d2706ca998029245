"""Retiring an artifact: its files are deleted for good, and what is left says what it was and why it is gone.

An artifact is never changed under its own identity, so what holds a student's data goes as a whole; the next run makes
it again without the student. Its manifest stays, without its files, so that lineage can still be walked through it.
"""

import shutil
from datetime import UTC, datetime

from components.artifacts import canonical_json
from components.erasure.finding import LOGS, MEMBERS, students_of
from components.erasure.subject import members_of
from components.manifest import MANIFEST, RETIRED, retired_manifest
from components.store import Store

REASON = "a student's data were erased"


def retire(store: Store, sha256: str, erasure: str) -> None:
    """Delete an artifact's files and copies for good; safe to be killed at any point and to be called again.

    Stage records stay: lineage is walked by them, and a run that finds one makes its result again.

    Args:
        store: the store.
        sha256: identity of the artifact.
        erasure: name of the tombstone on whose account it goes.

    Raises:
        StoreError: the store cannot be written.
    """
    place, base = store.place, f"artifacts/{sha256}"
    kept = {f"{base}/{MANIFEST}"}
    manifest = store.manifest_value(sha256)
    if manifest is not None:
        if RETIRED not in manifest:
            if manifest["kind"] in LOGS:
                members = members_of(students_of(store, sha256, manifest["kind"]))
                place.put_bytes(f"{base}/{MEMBERS}", canonical_json(members))
            at = datetime.now(UTC).isoformat(timespec="seconds")
            value = retired_manifest(manifest, at=at, reason=REASON, erasure=erasure)
            place.put_bytes(f"{base}/{MANIFEST}", canonical_json(value))
        if manifest["kind"] in LOGS:
            kept.add(f"{base}/{MEMBERS}")
    for path in place.list(base):
        if path not in kept:
            place.delete(path)
    place.drop_empty(base)
    if store.local_root is None:
        shutil.rmtree(store.cache / "artifacts" / sha256, ignore_errors=True)
