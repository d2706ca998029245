"""Whether a release takes over: what the gate finds, how it does beside the champion, and a person's word on it.

Fails closed: what cannot be judged is a stop. Every decision is recorded beside the release (`components/gate`).
"""

from dataclasses import replace
from datetime import date
from typing import Any

from components.app import Application
from components.artifacts import Release
from components.errors import (
    ArtifactMissingError,
    ConfigError,
    DigestMismatchError,
    GateStoppedError,
    StoreConflictError,
    StoreError,
)
from components.gate.approval import approved_by
from components.gate.decision import Decision, Finding
from components.gate.override import Override, today_utc
from components.gate.records import DecisionRecords
from components.signing import Key
from components.store import Store
from flows.approving import lacks_approvals, rejection_of, require_approvals, waiting
from flows.judging import error_finding, findings_on, judged_by_itself
from flows.packaged import PACKAGED, packaged_findings
from flows.pipeline import Outcome
from serving.errors import BundleError, ReleaseNotFoundError
from serving.registry import Pointer, ReleaseRegistry, this_person

GONE = (ArtifactMissingError, DigestMismatchError, ReleaseNotFoundError, BundleError)
"""What says that a release cannot serve any more; any other error may pass."""
ONCE = ("non_inferiority", "data", "parity", "replay", "latency")
"""What is looked at once, before a release first serves; a later decision on it repeats what was found then."""
KEPT = (*ONCE, "approval")
"""Those, and what people said: later decisions repeat it."""
MOST_TOLD = 3
BY_HAND_DAYS = 14
"""How long a release waits for people that is promoted by hand, where no run let it wait for them."""
MOST_ATTEMPTS = 3
"""So often a run decides, where the champion changes meanwhile."""


def promote_if_better(
    store: Store,
    application: Application,
    outcome: Outcome,
    *,
    signing_key: Key,
    config: Any,  # the application's configuration of a release
    by: str | None = None,
) -> Decision:
    """Decide whether the release of a run takes over from the application's champion, and let it.

    The champion's recorded figures come from the students of its own day. So both releases answer the students that
    the run's evaluation held out, from the same logs, and those answers are compared, students resampled in pairs.
    Where the split changed, some of these students may have been the champion's own training students: that favours
    the champion.

    A release that served before and was replaced, by a later one or by a rollback, does not come back by itself.
    Where the configuration asks for people's approval, a release that nothing stops waits for it (flows/approving.py).

    Two runs of an application decide one after the other, where one machine's locks reach; elsewhere the one that
    comes second finds that the champion changed meanwhile, and decides again.

    Args:
        store: has the artifacts of the run.
        application: of the run.
        outcome: the run's artifacts.
        signing_key: what releases are signed with, the champion's too.
        config: of a release.
        by: who decides, e.g. `run <id>`; the system's user by default.
    """
    by = by or this_person()
    with store.locked(f"promotion-{application.name}", lambda: None):
        for _ in range(MOST_ATTEMPTS - 1):
            try:
                return _promote_if_better(store, application, outcome, signing_key, config, by)
            except StoreConflictError:
                continue
        return _promote_if_better(store, application, outcome, signing_key, config, by)


def _promote_if_better(
    store: Store,
    application: Application,
    outcome: Outcome,
    signing_key: Key,
    config: Any,  # as above
    by: str,
) -> Decision:
    release, registry, records = outcome.release, ReleaseRegistry(store), DecisionRecords(store)
    draft = Decision(
        application=application.name,
        version=release.version,
        promote=False,
        reason="",
        findings=findings_on(store, outcome, getattr(config, "useless", "stop")),
        by=by,
        needs=config.approvals,
    )
    last = _latest(records, draft)
    if last is not None:
        draft = replace(draft, override=last.override, covered=last.seen())
    try:
        state = registry.log(application.name).latest()
        champion = registry.current(application.name)
    except StoreError as error:
        registry.register(release)
        stop = error_finding("registry", str(error))
        return records.add(replace(draft, reason=str(error), findings=(*draft.findings, stop)))
    if champion is not None and champion.version == release.version:
        return _as_before(
            records, draft, last, promote=True, reason=f"it is the current release already{_expired(records, last)}"
        )
    if any(entry.version == release.version for entry in registry.history(application.name)):
        reason = (
            "it served before and was replaced; "
            f"`homeroom releases {application.name} --promote {release.version}` makes it serve again"
        )
        return _as_before(records, draft, last, promote=False, reason=reason)
    champion_version = None if champion is None else champion.version
    if last is not None and last.champion == champion_version and last.can_be_approved(today_utc()):
        return last  # people have it before them: what they sign stays as it is
    if last is not None and (rejected := rejection_of(last)) is not None:
        return _as_before(records, draft, last, promote=False, reason=rejected.reason)
    beside = _beside(store, application, outcome, champion, signing_key, config)
    packaged = packaged_findings(store, outcome, signing_key=signing_key, config=config)
    decision = replace(draft, findings=(*draft.findings, *beside, *packaged), champion=champion_version)
    stops = decision.reasons("stop")
    if decision.outcome == "stop":
        more = f"; and {len(stops) - MOST_TOLD} more" if len(stops) > MOST_TOLD else ""
        decision = replace(decision, reason=f"the gate stops it: {'; '.join(stops[:MOST_TOLD])}{more}")
    else:
        said = "; ".join(f.reason for f in beside)
        decision = replace(decision, promote=True, reason=f"{said}; the gate says {decision.outcome}")
        if decision.needs:
            decision = waiting(decision, config.approval_days)
    registry.register(release)
    decision = records.add(decision)
    if decision.promote:
        last_number = 0 if state is None else state.number
        registry.promote(release, decision.reason, by=by, decision=decision.digest, expected=last_number)
    return decision


def _latest(records: DecisionRecords, draft: Decision) -> Decision | None:
    """Return the latest decision on the release; one that cannot be read is as none, as it is decided on anew."""
    try:
        return records.latest(draft.application, draft.version)
    except StoreError:
        return None


def _as_before(
    records: DecisionRecords, draft: Decision, last: Decision | None, *, promote: bool, reason: str
) -> Decision:
    """Return what stands about a release that serves or served; it is recorded where something new was found."""
    decision = replace(draft, promote=promote, reason=reason)
    if last is not None:
        kept = tuple(f for f in last.findings if f.check in KEPT or (f.check == "error" and f.subject in PACKAGED))
        decision = replace(
            decision, findings=(*draft.findings, *kept), champion=last.champion, approvals=last.approvals
        )
    if last is not None and {*decision.findings} == {*last.findings}:
        return replace(decision, decided=last.decided)
    if last is not None and (stops := decision.uncovered()):
        decision = replace(decision, reason=f"{reason}; by now the gate stops it: {stops[0].reason}")
    return records.add(decision)


def _beside(
    store: Store,
    application: Application,
    outcome: Outcome,
    champion: Pointer | None,
    signing_key: Key,
    config: Any,  # as above
) -> list[Finding]:
    """Return the findings beside the champion. Never raises: what cannot be compared is a stop."""

    def finding(outcome: Any, reason: str) -> list[Finding]:  # Any: an Outcome of the gate
        measure = application.kind.headline
        return [Finding(check="non_inferiority", subject="all", measure=measure, outcome=outcome, reason=reason)]

    if champion is None:
        return finding("pass", "nothing serves yet")
    try:
        from flows.comparing import bundle_of, findings_beside  # late: most runs have nothing to compare

        try:  # the champion alone: the same errors of the candidate, or of its data, are no reason to let it through
            other = bundle_of(store, ReleaseRegistry(store).find(champion.version), signing_key)
        except GONE as error:
            return finding("warn", f"the champion cannot serve any more ({type(error).__name__})")
        return findings_beside(store, application, outcome, other, signing_key=signing_key, config=config)
    except Exception as error:  # whatever it is, nothing is known of the difference
        return finding(
            "stop",
            f"it could not be compared with the current release ({type(error).__name__}); the next run tries again, "
            f"and `homeroom releases {application.name} --promote {outcome.release.version}` with an override does "
            "without",
        )


def promote_by_hand(
    store: Store, release: Release, reason: str, override: Override | None = None, *, by: str | None = None
) -> Decision:
    """Make a release serve because a person says so, where the gate lets it or an override is given.

    Args:
        store: has the release.
        release: to serve.
        reason: for the record.
        override: lets a stopped release through; recorded with the decision and with the release.
        by: who says so; the system's user by default.

    Returns:
        the decision; it waits where an override is given, or no run decided, and people have to approve as well.

    Raises:
        GateStoppedError: the gate stops it, and no override counts (any more); or it needs people's approval.
        StoreConflictError: somebody else changed what serves meanwhile.
        ConfigError: an override is given, and the gate does not stop it.
        StoreError: the decision on it, or the release itself, cannot be read.
    """
    by, registry = by or this_person(), ReleaseRegistry(store)
    seen = registry.log(release.application).last_number()  # before waiting for others who decide
    with store.locked(f"promotion-{release.application}", lambda: None):
        records = DecisionRecords(store)
        decision = records.latest(release.application, release.version) or judged_by_itself(store, release)
        decision = _let_through(records, decision, override)
        if override is not None:  # one person's word is not enough
            waits = decision.needs > len(approved_by(decision))
        else:
            waits = not decision.decided and lacks_approvals(decision, registry)
        if waits:
            current = registry.current(release.application)
            champion = None if current is None else current.version
            decision = replace(decision, champion=champion, reason=f"by hand: {reason}", by=by)
            return records.add(waiting(decision, BY_HAND_DAYS))
        require_approvals(decision, registry)
        decision = replace(decision, promote=True, reason=f"by hand: {reason}", by=by, until="")
        store.verify(release)
        decision = records.add(decision)
        registry.promote(release, reason, override=_in_force(decision), by=by, decision=decision.digest, expected=seen)
        return decision


def put_beside(
    store: Store,
    release: Release,
    reason: str,
    percent: int | None,
    override: Override | None = None,
    *,
    by: str | None = None,
) -> Decision:
    """Make a release the challenger with a share of the students, or the shadow (None), where the gate lets it.

    A shadow's answers are seen by nobody: the gate does not stop it. Arguments and errors as in `promote_by_hand`.
    """
    by, registry = by or this_person(), ReleaseRegistry(store)
    with store.locked(f"promotion-{release.application}", lambda: None):
        records = DecisionRecords(store)
        decision = records.latest(release.application, release.version) or judged_by_itself(store, release)
        if percent is None:
            registry.shadow(release, reason, by=by)
            return decision
        decision = _let_through(records, decision, override)
        require_approvals(decision, registry)
        if override is not None or not decision.decided:
            decision = records.add(replace(decision, reason=f"canary by hand: {reason}", by=by))
        registry.canary(release, percent, reason, override=_in_force(decision), by=by, decision=decision.digest)
        return decision


def roll_back(
    store: Store,
    application: str,
    reason: str,
    to: str | None = None,
    override: Override | None = None,
    *,
    by: str | None = None,
) -> Decision | None:
    """Make an earlier release serve again, unless the gate stops it and its override counts no more.

    Returns the decision on it, None for a release that served when homeroom had no gate; arguments and errors as in
    `promote_by_hand` and `ReleaseRegistry.rollback`.
    """
    by, registry = by or this_person(), ReleaseRegistry(store)
    seen = registry.log(application).last_number()
    with store.locked(f"promotion-{application}", lambda: None):
        records = DecisionRecords(store)
        release = registry.before(application, to)
        decision = records.latest(application, release.version)
        if decision is None and all(entry.version != release.version for entry in registry.history(application)):
            decision = judged_by_itself(store, release)  # it never served: this is no going back
        if decision is not None:
            decision = _let_through(records, decision, override)
            require_approvals(decision, registry)
            if override is not None:
                decision = records.add(replace(decision, promote=True, reason=f"rolled back to: {reason}", by=by))
        elif override is not None:
            raise ConfigError(f"{release.version} was never stopped; leave --override-by and --until out.")
        registry.rollback(
            application,
            reason,
            release.version,
            override=None if decision is None else _in_force(decision),
            by=by,
            decision=None if decision is None or not decision.decided else decision.digest,
            expected=seen,
        )
        return decision


def _let_through(records: DecisionRecords, decision: Decision, override: Override | None) -> Decision:
    """Return the decision with the override, or as it is where none is needed. Raises as `promote_by_hand`."""
    if override is not None:
        if decision.outcome != "stop":
            raise ConfigError(
                f"The gate does not stop {decision.version} (it says {decision.outcome}), so that there is nothing to "
                "override. Leave --override-by and --until out."
            )
        if not override.counts_on(_today(records, decision.application)):
            raise ConfigError(
                f"--until is {override.until}, but a decision on {decision.application} is recorded for "
                f"{_today(records, decision.application)}, later than this machine's clock says; expected that day or "
                "a later one. Set the clock right, or name a later day."
            )
        return replace(decision, override=override, covered=decision.stops())
    if decision.lets_through(_today(records, decision.application)):
        return decision
    raise GateStoppedError(
        f"The gate stops {decision.version}{_expired(records, decision)}: {'; '.join(_told(decision))}. `homeroom "
        f"releases {decision.application} --decision {decision.version}` shows all of it. Make a better release; or, "
        'where somebody answers for it: --override-by NAME --reason "..." --until YYYY-MM-DD.'
    )


def _in_force(decision: Decision) -> Override | None:
    """Return the override that a release serves by."""
    return decision.override if decision.outcome == "stop" else None


def _told(decision: Decision) -> list[str]:
    """Return what stops a release; where an override covers some of it, only the rest."""
    return [f.reason for f in decision.uncovered()] or decision.reasons("stop")


def _today(records: DecisionRecords, application: str) -> date:
    """Return the day it is, in UTC: by the clock, or by the latest decision where the clock was set back."""
    latest = records.latest_day(application)
    return today_utc() if latest is None else max(today_utc(), latest)


def _expired(records: DecisionRecords, decision: Decision | None) -> str:
    if decision is None or decision.override is None:
        return ""
    today = _today(records, decision.application)
    if decision.lets_through(today):
        return ""
    said = decision.override.sentence(today)
    return f" (its {said})" if not decision.override.counts_on(today) else f" (its {said}; it was given for less)"
