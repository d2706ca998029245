"""Approvals: a person's signed yes or no to one decision, and the people whose signature counts.

    approvers/<name>.json                                  who may approve, and with which public key
    approvals/<application>/<version>/<digest>/<name>.json what they said to the decision with this digest

Both are records of the store. Who may approve is signed by the installation's own key, so that somebody who can write
into the store cannot make himself an approver. What somebody said is signed by his own key, over the decision's
digest: it counts for that decision and for no other.
"""

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from typing import Any, Literal, Self

from components.artifacts import JsonValue, canonical_json
from components.errors import ConfigError, StoreConflictError
from components.gate.decision import Decision
from components.signing import ED25519, Key, PublicKey, SigningKey, trusted
from components.store import Store

FORMAT = 1
MOST_LETTERS = 500
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")

Verdict = Literal["approve", "reject"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Approver:
    """A person whose word on a release counts."""

    name: str
    key: str
    """The public key, in hex."""
    added: str
    """When, in UTC."""
    added_by: str
    removed: str = ""
    """When the person's word stopped to count; empty while it does."""
    signed_with: str = ""
    """Id of the installation's key."""
    signature: str = ""

    @property
    def public(self) -> PublicKey:
        """The key that checks the person's approvals."""
        return PublicKey(bytes.fromhex(self.key))

    def message(self) -> bytes:
        """Return what is signed."""
        value = {**asdict(self), "format": FORMAT, "what": "homeroom approver"}
        del value["signature"]
        return canonical_json(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """What one person said to one decision."""

    application: str
    version: str
    decision: str
    """SHA-256 of the decision document."""
    verdict: Verdict
    by: str
    reason: str
    at: str
    """When, in UTC."""
    signature: str = ""

    def message(self) -> bytes:
        """Return what is signed."""
        value = {**asdict(self), "format": FORMAT, "what": "homeroom approval"}
        del value["signature"]
        return canonical_json(value)

    def to_json(self) -> dict[str, JsonValue]:
        """Return the fields as plain JSON values."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def from_json(cls, value: Any) -> Self:  # Any: parsed JSON
        """Rebuild from `to_json`'s value. Raises KeyError, TypeError or ValueError where it is none."""
        return cls(**_texts(cls, value))


def sign_approval(decision: Decision, verdict: Verdict, by: str, reason: str, key: SigningKey) -> Approval:
    """Return a person's signed word on a decision.

    Raises:
        ConfigError: the reason is empty or too long.
    """
    if not reason.strip() or len(reason) > MOST_LETTERS or "\n" in reason:
        raise ConfigError(
            f"--reason has {len(reason)} characters; expected 1 to {MOST_LETTERS} on one line: why the release should "
            "serve, or should not."
        )
    said = Approval(
        application=decision.application,
        version=decision.version,
        decision=decision.digest,
        verdict=verdict,
        by=by,
        reason=reason.strip(),
        at=f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}",
    )
    return replace(said, signature=key.sign(said.message()).hex())


class Approvers:
    """The people whose word counts, in a store.

    Args:
        store: has the records.
        keys: the installation's own keys, public parts are enough: they say whose records of people are true.
    """

    def __init__(self, store: Store, keys: Key) -> None:
        self._store = store
        self._keys = trusted(keys)

    def add(self, name: str, key: PublicKey, by: str, signing_key: SigningKey) -> Approver:
        """Record a person and the public key, signed by the installation's key.

        Raises:
            ConfigError: the name is none, or the key belongs to another approver.
            StoreConflictError: there is such a person already.
        """
        others = [one.name for one in self.all() if one.key == key.value.hex() and one.name != name]
        if others:
            raise ConfigError(f"That key belongs to {others[0]} already: two approvals must be by two people.")
        person = Approver(name=checked_name(name), key=key.value.hex(), added=_now(), added_by=by)
        try:
            self._write(person, signing_key, create=True)
        except StoreConflictError as error:
            raise _is_there(name) from error
        return person

    def require_new(self, name: str) -> None:
        """Raise StoreConflictError where there is a record of this name."""
        if self._store.read_record(f"approvers/{checked_name(name)}.json") is not None:
            raise _is_there(name)

    def remove(self, name: str, signing_key: SigningKey) -> Approver:
        """Let a person's word count no more. Raises ConfigError where there is no such person."""
        person = self.find(name)
        return self._write(replace(person, removed=person.removed or _now()), signing_key, create=False)

    def find(self, name: str) -> Approver:
        """Return a person.

        Raises:
            ConfigError: there is none of this name, or the record was not signed with the installation's key.
        """
        value = self._store.read_record(f"approvers/{checked_name(name)}.json")
        try:
            person = Approver(**_texts(Approver, value))
            is_true = person.name == name and self._keys.verify(
                ED25519, person.signed_with, person.message(), bytes.fromhex(person.signature)
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            is_true = False
        if not is_true:
            raise ConfigError(
                f"{name} is no approver here"
                + (": the record of that name is not signed with this installation's key" if value is not None else "")
                + f". `homeroom approvers add {name}` makes one."
            )
        return person

    def all(self) -> list[Approver]:
        """Return everybody with a record that is true, by name; also who was removed."""
        found = []
        for path in self._store.list_records("approvers"):
            try:
                found.append(self.find(path.rpartition("/")[2].removesuffix(".json")))
            except ConfigError:
                continue
        return found

    def counted(self, said: Approval) -> bool:
        """Return whether a person who may approve, and was not removed, signed this very word."""
        try:
            person = self.find(said.by)
            return not person.removed and person.public.verifies(said.message(), bytes.fromhex(said.signature))
        except (ConfigError, ValueError):
            return False

    def _write(self, person: Approver, signing_key: SigningKey, *, create: bool) -> Approver:
        person = replace(person, signed_with=signing_key.id)
        person = replace(person, signature=signing_key.sign(person.message()).hex())
        self._store.write_record(f"approvers/{person.name}.json", {"format": FORMAT, **asdict(person)}, create=create)
        return person


class ApprovalRecords:
    """What people said to decisions, in a store; never overwritten."""

    def __init__(self, store: Store, approvers: Approvers) -> None:
        self._store = store
        self._approvers = approvers

    def add(self, said: Approval) -> None:
        """Record a person's word.

        Raises:
            StoreConflictError: the person has said something to this decision already.
        """
        path = f"{_folder(said.application, said.version, said.decision)}/{checked_name(said.by)}.json"
        try:
            self._store.write_record(path, said.to_json(), create=True)
        except StoreConflictError as error:
            raise StoreConflictError(
                f"{said.by} has said what to think of {said.version} already; what was said stays. A second person can "
                "approve, and the next run decides anew."
            ) from error

    def of(self, decision: Decision) -> list[Approval]:
        """Return what was said to a decision, by people whose word counts, oldest first; anything else is left out."""
        digest = decision.digest
        found: list[Approval] = []
        for path in self._store.list_records(_folder(decision.application, decision.version, digest)):
            try:
                said = Approval.from_json(self._store.read_record(path))
            except (KeyError, TypeError, ValueError, AttributeError):
                continue
            is_of_it = (said.application, said.version, said.decision) == (
                decision.application, decision.version, digest,
            )  # fmt: skip
            if is_of_it and path.endswith(f"/{said.by}.json") and self._approvers.counted(said):
                found.append(said)
        return sorted(found, key=lambda one: (one.at, one.by))


def is_enough(decision: Decision, said: Iterable[Approval], today: date) -> bool:
    """Return whether a decision that waits has its approvals: by different people, none against it, and in time."""
    return decision.can_be_approved(today) and len(_people_for(said)) >= max(decision.needs, 1)


def approved_by(decision: Decision) -> set[str]:
    """Return who approved a decision by the words that are written into it: nobody where one of them is a no.

    Those words were checked when they were written there (`ApprovalRecords.of`). Where one cannot be read, or is about
    another release, none counts.
    """
    try:
        words = [Approval.from_json(value) for value in decision.approvals]
    except (KeyError, TypeError, ValueError):
        return set()
    of = (decision.application, decision.version)
    return _people_for(words) if all((one.application, one.version) == of for one in words) else set()


def _people_for(said: Iterable[Approval]) -> set[str]:
    """Return the different people who are for it; nobody where one is against it, or said something else."""
    words = list(said)
    return {one.by for one in words} if all(one.verdict == "approve" for one in words) else set()


def _texts(kind: type[Approver] | type[Approval], value: Any) -> dict[str, Any]:  # Any: parsed JSON
    """Return the fields of a record, all of them texts. Raises KeyError, TypeError or ValueError where it is none."""
    if value["format"] != FORMAT:
        raise ValueError("it is of another format")
    fields = {name: value[name] for name in kind.__dataclass_fields__}
    if not all(isinstance(text, str) for text in fields.values()):
        raise TypeError("its fields are texts")
    return fields


def _is_there(name: str) -> StoreConflictError:
    return StoreConflictError(
        f"{name} is an approver already. `homeroom approvers remove {name}` ends that; a new key needs a new name, so "
        "that what was signed before stays checkable."
    )


def checked_name(name: str) -> str:
    """Return the name. Raises ConfigError where it cannot be an approver's, which is also a file's."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot be an approver's name; expected letters, digits and `._@-`, at most 64, e.g. `a.mensah`."
        )
    return name


def _folder(application: str, version: str, decision: str) -> str:
    return f"approvals/{application}/{version}/{decision}"


def _now() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
