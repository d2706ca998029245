"""Erasing a student from an installation: who it is, what serves, and where overrides and copies lie."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from components.erasure.erasing import Erasure, Fate, Hit, Releases, erase
from components.erasure.finding import key_of
from components.erasure.subject import SHORTEST_TEXT, Subject
from components.errors import ConfigError
from components.overrides import FILE
from components.pseudonyms import PSEUDONYM_LENGTH, pseudonyms
from components.secrets import SecretKey
from components.store import Store
from components.tombstones import Kind
from flows.settings import Settings
from serving.registry import ReleaseRegistry


def erase_student(
    settings: Settings,
    *,
    student: str | None = None,
    pseudonym: str | None = None,
    kind: Kind = "student",
    texts: Sequence[str] = (),
    journals: Sequence[Path] = (),
    releases: Releases = "keep",
    really: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Erasure:
    """Erase a student from the store and what lies beside it; see `components.erasure.erasing.erase`.

    Args:
        settings: where and with whose keys.
        student: the id as the source has it; or
        pseudonym: the student's, 32 hex digits.
        kind: what `student` is the id of: a response, where the source names no students.
        texts: texts that are known to be the student's.
        journals: folders with overrides besides those of this installation.
        releases: what becomes of releases made from the student's data.
        really: do it; else nothing is changed.
        say: shows one line of progress.

    Raises:
        ConfigError: not exactly one of `student` and `pseudonym`, or no pseudonym, or no key to make it with; or a text
            that is too short to be told from others'.
        StoreError: as `erase`.
    """
    if (student is None) == (pseudonym is None):
        raise ConfigError("Expected one of a student's id and a pseudonym; give one of them.")
    if short := sum(len(text) < SHORTEST_TEXT for text in texts):
        raise ConfigError(
            f"{short} of the texts to search for have fewer than {SHORTEST_TEXT} characters, and could be anybody's; "
            "expected whole texts. Leave the short ones out."
        )
    store = settings.open_store()
    if student is not None:
        key = _key(settings)
        if not student.strip():
            raise ConfigError("The student's id is empty; expected the id as the source's files have it.")
        (found,) = pseudonyms(key, [student.strip()], kind)
        key_id = key.id
    else:
        found = str(pseudonym).strip().lower()
        if len(found) != PSEUDONYM_LENGTH or set(found) - set("0123456789abcdef"):
            raise ConfigError(
                f"The pseudonym has {len(found)} characters; expected {PSEUDONYM_LENGTH} hex digits, as the column "
                "`student` of the store's tables has them."
            )
        key_id = key_of(store, found) or _key(settings).id
    return erase(
        store,
        Subject(pseudonym=found, texts=frozenset(("", text) for text in texts)),
        key_id,
        serving=lambda: serving_now(store),
        journals=[*_journals(settings), *(one for one in journals if (one / FILE).is_file())],
        elsewhere=[settings.cache] if store.local_root is not None else [],
        releases=releases,
        really=really,
        say=say,
    )


def serving_now(store: Store) -> dict[str, str]:
    """Return the identities of the releases that serve, to whomever, and as what: current, challenger or shadow.

    Raises:
        StoreError: a record that says so is damaged.
    """
    registry = ReleaseRegistry(store)
    applications = sorted({path.split("/")[1] for path in store.list_records("releases")})
    found: dict[str, str] = {}
    for name in applications:
        state = registry.log(name).latest()
        slots = {} if state is None else {"shadow": state.shadow, "challenger": state.challenger}
        found |= {one.artifact: f"{slot} of {name}" for slot, one in slots.items() if one is not None}
        if state is not None and state.champion is not None:
            found[state.champion.artifact] = f"current release of {name}"
    return found


def to_json(done: Erasure, store: str) -> dict[str, Any]:  # Any: plain JSON
    """Return what an erasure did as plain JSON; nothing in it names the student."""
    proof = done.proof
    return {
        "format": 1,
        "store": store,
        "done": proof is not None,
        "proven": done.is_proven,
        "pseudonym_key": done.key_id,
        "tombstone": done.tombstone,
        "artifacts": [_fate(one) for one in done.fates if one not in done.releases()],
        "releases": [{"version": one.found.version, "serves": one.serves, **_fate(one)} for one in done.releases()],
        "overrides": dict(done.overrides),
        "leftovers": list(done.leftovers),
        "yours_to_erase": list(done.raw_files),
        "keys_not_searched": list(done.other_keys),
        "proof": None
        if proof is None
        else {
            "files": proof.files,
            "bytes": proof.bytes,
            "hits": _hits(proof.hits),
            "remains": _hits(proof.remains),
            "unreadable": _hits(proof.unreadable),
        },
    }


def _fate(one: Fate) -> dict[str, Any]:  # Any: plain JSON
    return {
        "kind": one.found.kind,
        "artifact": one.found.sha256,
        "holds": list(one.found.holds),
        "fate": one.fate,
    }


def _hits(hits: Sequence[Hit]) -> list[dict[str, Any]]:
    return [{"path": one.path, "what": list(one.what)} for one in hits]


def _key(settings: Settings) -> SecretKey:
    """Return the pseudonym key that is there: one that is made now gives pseudonyms that nothing has."""
    if settings.pseudonym_key is None and not (settings.keys / "pseudonym.key").is_file():
        raise ConfigError(
            f"There is no pseudonym key in {settings.keys}, so nobody can say which pseudonym is the student's. Name "
            "the folder of the keys (HOMEROOM_KEYS) with which the data were read."
        )
    return settings.read_pseudonym_key()


def _journals(settings: Settings) -> list[Path]:
    with suppress(FileNotFoundError):
        return sorted(one for one in settings.overrides.iterdir() if (one / FILE).is_file())
    return []
