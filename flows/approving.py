"""People's approval of a release that waits for it: signed, in time, by enough different people, else it reads as no.

No process waits: the decision lies in the store, and whoever gives the last approval makes the release serve.
"""

from dataclasses import dataclass, replace
from datetime import timedelta

from components.artifacts import Release
from components.errors import ConfigError, GateStoppedError
from components.gate.approval import (
    Approval,
    ApprovalRecords,
    Approvers,
    Verdict,
    approved_by,
    is_enough,
    sign_approval,
)
from components.gate.decision import Decision, Finding
from components.gate.override import today_utc
from components.gate.records import DecisionRecords
from components.signing import Key, SigningKey
from components.store import Store
from serving.registry import ReleaseRegistry, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What came of a person's word."""

    decision: Decision
    """As it stands now."""
    approvals: tuple[Approval, ...]
    """All that count for it, this one among them."""
    promoted: bool
    """Whether the release serves by it."""


def give_word(
    store: Store, release: Release, verdict: Verdict, *, by: str, reason: str, key: SigningKey, trusted: Key
) -> Said:
    """Approve or reject a release that waits; the last approval that is needed makes it serve.

    Killed between the approval and the promotion, the same command again makes the promotion.

    Args:
        store: has the decision.
        release: that waits.
        verdict: yes or no; one no is the end of this decision.
        by: the approver's name.
        reason: for the record.
        key: the approver's private key.
        trusted: the installation's public keys, which say who is an approver.

    Raises:
        ConfigError: the person is no approver, or the key is another's.
        GateStoppedError: the release does not wait (any more), or what serves was changed since it was decided on.
        StoreConflictError: the person has said something else already, or somebody changed what serves meanwhile.
    """
    approvers = Approvers(store, trusted)
    person = approvers.find(by)
    if person.removed or person.public != key.public:
        why = f"was removed on {person.removed}" if person.removed else f"has the key {person.public.id}, not this one"
        raise ConfigError(f"{by} {why}, so that this word does not count. Ask whoever runs this installation.")
    with store.locked(f"promotion-{release.application}", lambda: None):
        registry, records = ReleaseRegistry(store), DecisionRecords(store)
        decision = records.latest(release.application, release.version)
        if decision is None:
            raise GateStoppedError(f"Nobody decided on {release.version} yet, so there is nothing to approve.")
        state = registry.log(release.application).latest()
        if verdict == "approve" and _is_unfinished(decision, registry, state):
            _require_override(decision)
            _serve(store, release, decision, state)
            return Said(decision=decision, approvals=(), promoted=True)
        _require_waiting(decision, state)
        words = ApprovalRecords(store, approvers)
        said = sign_approval(decision, verdict, by, reason, key)
        if not any(one.by == by and one.verdict == verdict for one in words.of(decision)):
            words.add(said)
        counted = words.of(decision)
        if any(one.verdict == "reject" for one in counted):
            return Said(decision=_rejected(records, decision, counted), approvals=tuple(counted), promoted=False)
        if not is_enough(decision, counted, today_utc()):
            return Said(decision=decision, approvals=tuple(counted), promoted=False)
        store.verify(release)
        approved = records.add(_approved(decision, counted))
        _serve(store, release, approved, state)
        return Said(decision=approved, approvals=tuple(counted), promoted=True)


def waiting(decision: Decision, days: int) -> Decision:
    """Return a decision that would let its release serve as one that waits: what was said to another counts no more."""
    until = (today_utc() + timedelta(days=days)).isoformat()
    people = "one person's approval" if decision.needs == 1 else f"the approval of {decision.needs} people"
    reason = f"it waits for {people} until {until}: {decision.reason}"
    return replace(decision, promote=False, until=until, reason=reason, approvals=())


def rejection_of(decision: Decision) -> Finding | None:
    """Return the latest finding that a person rejected a release."""
    return next((f for f in reversed(decision.findings) if f.check == "approval" and f.outcome == "stop"), None)


def lacks_approvals(decision: Decision, registry: ReleaseRegistry) -> bool:
    """Return whether people have to approve a release before it serves; not where it served before (then they did)."""
    if len(approved_by(decision)) >= decision.needs:
        return False
    return all(entry.version != decision.version for entry in registry.history(decision.application))


def require_approvals(decision: Decision, registry: ReleaseRegistry) -> None:
    """Make sure that people approved a release that needs it, or that it served before."""
    if not lacks_approvals(decision, registry):
        return
    who = "a run" if decision.decided else f"`homeroom promote {decision.version}`"
    raise GateStoppedError(
        f"{decision.version} needs the approval of {decision.needs} (deploy.approvals) and has "
        f"{len(approved_by(decision))}: `homeroom approve {decision.version} --by NAME --reason ...`"
        + (f", until {decision.until}." if decision.until else f", once {who} has let it wait for that.")
    )


def _serve(store: Store, release: Release, approved: Decision, state: State | None) -> None:
    ReleaseRegistry(store).promote(
        release,
        approved.reason,
        override=approved.override if approved.outcome == "stop" else None,
        by=approved.by,
        decision=approved.digest,
        expected=0 if state is None else state.number,
    )


def _is_unfinished(decision: Decision, registry: ReleaseRegistry, state: State | None) -> bool:
    """Return whether all approvals are there and written down, and a crash came before the release served.

    A release that had students and was taken back is none such: approvals let it serve once.
    """
    champion = None if state is None or state.champion is None else state.champion.version
    is_approved = decision.promote and 0 < decision.needs <= len(approved_by(decision))
    return is_approved and champion == decision.champion and not _had_students(decision, registry, state)


def _had_students(decision: Decision, registry: ReleaseRegistry, state: State | None) -> bool:
    """Return whether the release ever was champion or challenger, or an entry that cannot be read may say so."""
    entries = list(registry.log(decision.application).entries())
    if len(entries) < (0 if state is None else state.number):
        return True
    had = {slot.version for entry in entries for slot in (entry.champion, entry.challenger) if slot is not None}
    return decision.version in had | {change.version for change in registry.history(decision.application)}


def _require_override(decision: Decision) -> None:
    """Make sure that the override by which a stopped release would serve counts today, and for all that stops it."""
    if not decision.lets_through(today_utc()):
        raise GateStoppedError(
            f"The override by which {decision.version} could serve has expired, or was given for less than what stops "
            f'it now. Where somebody answers for it: `homeroom promote {decision.version} --override-by NAME --reason "'
            '..." --until YYYY-MM-DD`.'
        )


def _require_waiting(decision: Decision, state: State | None) -> None:
    if decision.status != "waits for approval":
        raise GateStoppedError(
            f"{decision.version} does not wait for approval: it is {decision.status} ({decision.reason})."
            + (f" `homeroom promote {decision.version}` makes it serve (again)." if decision.promote else "")
        )
    if not decision.can_be_approved(today_utc()):
        raise GateStoppedError(
            f"The time to approve {decision.version} was over on {decision.until}, so the answer is no. The next run "
            "with the same data and configuration asks anew."
        )
    champion = None if state is None or state.champion is None else state.champion.version
    if champion != decision.champion:
        raise GateStoppedError(
            f"{decision.version} was compared with {decision.champion or 'nothing'}, and {champion or 'nothing'} "
            "serves now: what was found does not hold any more. Have it decided on again: the next run does."
        )
    _require_override(decision)


def _approved(decision: Decision, said: list[Approval]) -> Decision:
    people = " and ".join(f"{one.by} ({one.reason})" for one in said)
    found = Finding(check="approval", subject="all", measure="", outcome="pass", reason=f"approved by {people}")
    return replace(
        decision,
        promote=True,
        until="",
        reason=f"approved by {people}",
        by=" and ".join(one.by for one in said),
        approvals=tuple(one.to_json() for one in said),
        findings=(*decision.findings, found),
    )


def _rejected(records: DecisionRecords, decision: Decision, said: list[Approval]) -> Decision:
    no = next(one for one in said if one.verdict == "reject")
    reason = f"rejected by {no.by}: {no.reason}"
    what = f"decision {decision.digest[:16]}"  # a no to another one is another no, which no override has seen
    found = Finding(check="approval", subject="all", measure=what, outcome="stop", reason=reason)
    return records.add(
        replace(
            decision,
            until="",
            reason=reason,
            by=no.by,
            covered=decision.seen(),
            approvals=tuple(one.to_json() for one in said),
            findings=(*decision.findings, found),
        )
    )
