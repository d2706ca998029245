"""Teachers' overrides as raw files: what their journals hold now, kept in the store under its own digest.

A journal grows while a service runs, so a run takes a snapshot: it is what the later stages read, and what lineage
names for as long as anything made from it is there.
"""

import hashlib
import posixpath
from collections.abc import Iterable
from datetime import UTC, datetime

from components.artifacts import Lineage, Ref, TeacherOverrides
from components.ingest.opening import open_file_system, read_chunks
from components.overrides import FILE, Found, Override, parsed, snapshot
from components.store import Store
from components.tombstones import NONE, Tombstones

ROLE = "overrides"
"""Of a raw file that holds overrides."""


def journal_behind(name: str) -> str | None:
    """Return the address of the journal that a file's or folder's name stands for; None where there is none."""
    file_system, path, is_local = open_file_system(name)
    if file_system.isdir(path):
        path = posixpath.join(path.rstrip("/"), FILE)
    if not file_system.isfile(path):
        return None
    return path if is_local else str(file_system.unstrip_protocol(path))


def read_journals(uris: Iterable[str], erased: Tombstones = NONE) -> Found:
    """Return the overrides of all journals but those of who was erased; each id once, in the order they were made."""
    found: dict[str, Override] = {}
    damaged = 0
    for uri in uris:
        one = parsed(b"".join(read_chunks(uri)))
        damaged += one.damaged
        for override in one.overrides:
            if is_erased(override, erased):
                continue
            found.setdefault(override.id, override)
    ordered = sorted(found.values(), key=lambda override: (override.made_utc, override.id))
    return Found(overrides=tuple(ordered), damaged=damaged)


def is_erased(one: Override, erased: Tombstones) -> bool:
    """Return whether an override names a student or a response that has a tombstone."""
    key_id = one.pseudonym_key_id or ""
    students = [name for name in (one.student, one.response) if name is not None]  # of nobody: the response's own
    responses = [one.response] if one.response is not None else []
    return bool(erased.erased(key_id, students) or erased.erased(key_id, responses, "response"))


def kept(store: Store, found: Found, *, record: bool) -> tuple[TeacherOverrides, str, str]:
    """Publish a snapshot; return its handle, and the address and digest of its file.

    Args:
        store: keeps it.
        found: at least one override.
        record: whether it is written; else the address leads nowhere.
    """
    body = snapshot(found.overrides)
    digest = hashlib.sha256(body).hexdigest()
    keys = sorted({one.pseudonym_key_id for one in found.overrides if one.pseudonym_key_id is not None})
    draft = TeacherOverrides(
        ref=Ref(uri="", sha256="", bytes=len(body), media_type=""),
        lineage=Lineage(stage="collect", started_utc=datetime.now(UTC).isoformat(timespec="seconds")),
        overrides=len(found.overrides),
        prompts=len({one.prompt for one in found.overrides}),
        teachers=len({one.teacher for one in found.overrides}),
        releases=tuple(sorted({one.release for one in found.overrides})),
        pseudonym_key_ids=tuple(keys),
    )
    if not record:
        return draft, f"{store.url}/{FILE}", digest
    with store.scratch() as scratch:
        folder = scratch / "snapshot"
        folder.mkdir()
        (folder / FILE).write_bytes(body)
        made = store.publish(draft, folder)
    return made, f"{made.ref.uri}/{FILE}", digest
