"""What a store from before the log says: `current.json` and `history/`, only read.

releases/<application>/current.json                   the pointer that decided
releases/<application>/history/<utc>-<version>.json   one per change, written before it

An entry names the one that it follows; what a crash in between left is an entry that nothing follows and the pointer
does not name: it never served, and is no part of the history.
"""

from components.errors import StoreError
from components.store import Store
from serving.registry.pointer import Pointer


def current(store: Store, folder: str) -> Pointer | None:
    """Return what `current.json` below `folder` says, or None where there is none.

    Raises:
        StoreError: it is damaged: what serves, and what it is compared with, is not known.
    """
    path = f"{folder}/current.json"
    value = store.read_record(path)
    if value is None and store.place.get_bytes(f"records/{path}") is None:
        return None
    try:
        return Pointer.from_json(value)
    except (KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"records/{path} in {store.url} is damaged, so nobody can say which release serves. Restore it from a "
            f"backup, or say it anew: `homeroom promote VERSION`."
        ) from error


def history(store: Store, folder: str) -> list[Pointer]:
    """Return the changes that took place, oldest first; where `current.json` is damaged, all that were written."""
    written = [store.read_record(path) for path in store.list_records(f"{folder}/history")]
    entries = [Pointer.from_json(value) for value in written if value is not None]
    try:
        return _taken_place(entries, current(store, folder))
    except StoreError:
        return entries


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
