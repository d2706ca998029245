"""The supervisor: it alone moves pointers while a server runs, by what the server's workers counted.

A canary goes from share to share and is promoted at the end, or withdrawn; a release that was promoted a short time ago
is taken back. Every step is an entry of the pointer log with its figures as the reason. Where somebody else writes an
entry first, theirs counts.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

from components.errors import PipelineError, StoreConflictError
from serving.aside import Aside
from serving.registry import Challenger, Change, Slot, State
from serving.slots import load_failure
from serving.status import WorkerStatus
from serving.supervise.counts import Counts, since
from serving.supervise.earlier import earlier_promotion
from serving.supervise.judging import Verdict, judge
from serving.supervise.lately import Lately
from serving.supervise.limits import STAGES, Limits
from serving.supervise.permission import override_expired
from serving.tally import Tally

log = logging.getLogger("homeroom.serving")
EVERY_S = 1.0
ENOUGH = 5
"""A promoted release is compared with the last requests of the one before, so many times `min_requests` or more."""


class Log(Protocol):
    """The pointer log, as far as it is needed here."""

    def latest(self) -> State | None:
        """Return the last entry."""

    def following(self, number: int) -> list[State]:
        """Return the entries after this one, in order."""

    def entry(self, number: int) -> State | None:
        """Return this entry, None where there is none that can be read."""

    def append(self, change: Change, *, expected: int) -> State:
        """Write the next entry."""


class Supervisor:
    """Watches one server. Only one thread may call `step`.

    Args:
        entries: the pointer log.
        workers: gives what the workers say now.
        limits: by which it is decided.
        by: who it is, in the log.
        forbidden: says why a release may not go on, or come back, by what the gate says today, empty where it may; it
            raises PipelineError where nobody can say.
        missing: says why a former champion cannot serve again, empty where it can; it is in use from then on.
        told: is called in another thread, once for each entry that this wrote, with the entry before it.
        clock: seconds; never goes back.
        now: the time of day, by which promotions from before it began are watched; all else goes by `clock`.
    """

    def __init__(
        self,
        entries: Log,
        workers: Callable[[], Sequence[WorkerStatus]],
        limits: Limits,
        *,
        by: str,
        forbidden: Callable[[Slot], str] = override_expired,
        missing: Callable[[Slot], str] = lambda slot: "",
        told: Callable[[State, State], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._entries = entries
        self._workers = workers
        self._limits = limits
        self._by = by
        self._forbidden = forbidden
        self._missing = missing
        self._tell = told
        self._telling = Aside("homeroom-telling")
        self._clock = clock
        self._now = now
        self._counts = Counts()
        self._lately = Lately()
        self._state: State | None = None
        self._began = 0.0
        """When the entry was seen."""
        self._since = 0.0
        """Since when all workers answer by it."""
        self._then: dict[str, Tally] = {}
        self._alive: set[tuple[int, float]] = set()
        """Workers that were there since the entry began."""
        self._spoken = 0.0
        """When a worker last said something."""
        self._former: Slot | None = None
        """Who was champion before the promotion, and can be brought back."""
        self._old = Tally()
        """What it did last."""
        self._promoted = 0.0
        """When the champion's first entry was seen."""
        self._since_promotion: dict[str, Tally] = {}
        """The totals when it began to count."""
        self._settled = False
        """Whether it did: all workers answered by it, or had the time to."""
        self._undecided: float | None = None
        """Since when the gate's decision on the challenger cannot be read."""
        self._told = ""
        self._stays = ""
        """Why the champion was last said to stay, though it goes beyond a limit."""
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, every_s: float = EVERY_S) -> None:
        """Begin in a thread."""
        self._thread = threading.Thread(target=self._work, args=(every_s,), name="homeroom-supervisor", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join(5.0)
        self._telling.wait()

    def step(self) -> State | None:
        """Look once, and write an entry if one is due; return it.

        Raises:
            PipelineError: the log cannot be read or written; nothing was changed.
        """
        workers = self._workers()
        self._counts.read(workers)
        self._lately.mark(self._clock(), self._counts.totals())
        if self._state is None:
            first = self._entries.latest()
            if first is None:
                return None
            self._begin_with(first)
        else:
            for state in self._entries.following(self._state.number):
                self._begin(state)
        assert self._state is not None  # there is an entry
        crashes = self._crashes(workers)
        behind = [one for one in workers if one.entry != self._state.number]
        if not crashes and (behind or not workers):
            self._since = self._clock()
            if not workers or self._clock() - self._began < self._limits.min_stage_s:
                self._then = self._counts.totals()  # nothing counts before all workers answer by the entry, or had time
                if not self._settled:
                    self._since_promotion = self._then
                return None
        self._settled = True
        change = self._due(self._state, workers, crashes)
        if change is None:
            return None
        try:
            written = self._entries.append(change, expected=self._state.number)
        except StoreConflictError as error:
            log.warning("%s", error)
            return None
        log.warning("%s", written.sentence())
        if self._tell is not None:
            self._telling.soon(partial(self._tell, self._state, written))
        self._begin(written)
        return written

    def _begin_with(self, state: State) -> None:
        """Take up the entry that is there at the start. Who was champion before a young promotion can be brought back.

        What that one did is not known, so that the new one is judged by itself alone.
        """
        found = earlier_promotion(self._entries.entry, state, self._limits.watch_s, self._now())
        self._begin(state)
        if found is not None:
            self._former = found.former
            self._promoted -= found.age_s

    def _begin(self, state: State) -> None:
        """Take up a new entry; while its champion stays, who was champion before a promotion can be brought back."""
        before = None if self._state is None else self._state.champion
        totals = self._counts.totals()
        if (before and before.artifact) != (state.champion and state.champion.artifact):
            self._former = before if state.action == "promote" else None
            enough = ENOUGH * self._limits.min_requests
            self._old = self._lately.did(totals, before.version, enough) if before is not None else Tally()
            self._promoted, self._since_promotion, self._settled = self._clock(), totals, False
            self._stays = ""
        self._state = state
        self._undecided = None
        self._then = totals
        self._began = self._since = self._spoken = self._clock()
        self._alive = {(one.pid, one.started) for one in self._workers()}

    def _crashes(self, workers: Sequence[WorkerStatus]) -> str:
        """Return in words that workers end as they answer by the entry, or load it; empty where they do not."""
        now = {(one.pid, one.started) for one in workers}
        self._alive |= now
        deaths = len(self._alive - now)
        if workers:
            self._spoken = self._clock()
        silent = self._clock() - self._spoken
        if deaths >= self._limits.worker_deaths or (deaths and not workers and silent > self._limits.silence_s):
            return f"{deaths} worker processes ended since, {len(workers)} are there"
        return ""

    def _due(self, state: State, workers: Sequence[WorkerStatus], crashes: str) -> Change | None:
        """Return the change that the counts ask for, if any."""
        if state.champion is None:
            return None
        totals = self._counts.totals()
        champion = since(totals, self._then, state.champion.version)
        waited = self._clock() - self._since
        if crashes and (change := self._undone(state, state.champion, crashes)) is not None:
            return change
        if self._former is not None and self._clock() - self._promoted <= self._limits.watch_s:
            did = since(totals, self._since_promotion, state.champion.version)
            verdict = judge(did, self._old, self._limits)
            helpless = bool(did.errors) and did.errors == did.items
            if trouble := crashes or self._unloadable(state.champion, workers):
                verdict, helpless = Verdict(outcome="bad", reason=trouble), True
            if verdict.outcome == "bad":
                change = self._taken_back(state, state.champion, self._former, verdict.reason, helpless=helpless)
                if change is not None:
                    return change
        if state.challenger is None or crashes:
            return None
        return self._step_of(state, state.champion, state.challenger, champion, totals, workers, waited)

    def _taken_back(self, state: State, champion: Slot, former: Slot, reason: str, *, helpless: bool) -> Change | None:
        """Return the way back to the former champion; None where there is none, or the gate bars it today.

        Args:
            state: the last entry.
            champion: goes beyond a limit.
            former: would serve again.
            reason: why.
            helpless: the champion answers nobody. Then the former comes back whatever the gate says, and the entry says
                so.
        """
        if problem := self._missing(former):
            log.error("%s stays, though %s: %s", champion.version, reason, problem)
            self._former = None  # there is no way back
            return None
        try:
            barred = self._forbidden(former)
        except PipelineError as error:
            barred = f"the gate's decision on it cannot be read: {error}"
        if barred and not helpless:
            if barred != self._stays:
                log.error(
                    "%s stays, though %s: %s may not come back: %s", champion.version, reason, former.version, barred
                )
            self._stays = barred
            return None
        more = f"; {former.version} comes back although {barred}, as nothing else answers" if barred else ""
        return Change(
            action="rollback",
            by=self._by,
            reason=f"{champion.version} is taken back: {reason}{more}",
            champion=former,
            shadow=state.shadow,
            decision=former.decision,
            override=former.override,
        )

    def _undone(self, state: State, champion: Slot, crashes: str) -> Change | None:
        """Return the end of a canary or of a shadow that began before workers ended; None where there is neither."""
        if state.challenger is not None:
            return self._withdrawn(state, champion, f"{state.challenger.version} is withdrawn: {crashes}")
        if state.action == "shadow" and state.shadow is not None:
            reason = f"{state.shadow.version} is withdrawn: {crashes}"
            return Change(action="withdraw", by=self._by, reason=reason, champion=champion)
        return None

    def _unloadable(self, champion: Slot, workers: Sequence[WorkerStatus]) -> str:
        """Return in words that workers could not load a champion in the time they had; empty where they could."""
        failed = sum(load_failure(champion.version) in one.behind for one in workers)
        if not failed or self._clock() - self._promoted < self._limits.min_stage_s:
            return ""
        return f"{failed} of {len(workers)} workers cannot load it; their /v1/version says why"

    def _step_of(
        self,
        state: State,
        champion: Slot,
        challenger: Challenger,
        beside: Tally,
        totals: dict[str, Tally],
        workers: Sequence[WorkerStatus],
        waited: float,
    ) -> Change | None:
        """Return the next step of a canary."""
        name = challenger.version
        there = [one for one in workers if one.entry == state.number]
        if any(one.challenger != name for one in there):
            if waited < self._limits.min_stage_s:
                return None
            reason = f"{name} is withdrawn: a worker cannot load it; its /v1/version says why"
            return self._withdrawn(state, champion, reason)
        verdict = judge(since(totals, self._then, name), beside, self._limits)
        if verdict.outcome == "bad":
            return self._withdrawn(state, champion, f"{name} is withdrawn at {challenger.percent} %: {verdict.reason}")
        if verdict.outcome == "wait" or waited < self._limits.min_stage_s or len(there) < len(workers):
            return None
        forbidden = self._barred(challenger)
        if forbidden is None:
            return None
        if forbidden:
            return self._withdrawn(state, champion, f"{name} is withdrawn at {challenger.percent} %: {forbidden}")
        reason = f"{name} did well at {challenger.percent} %: {verdict.reason}"
        larger = next((stage for stage in STAGES if stage > challenger.percent), None)
        if larger is None:
            return Change(
                action="promote",
                by=self._by,
                reason=reason,
                champion=Slot(version=name, artifact=challenger.artifact),
                shadow=state.shadow,
                decision=challenger.decision,
                override=challenger.override,
            )
        return Change(
            action="canary",
            by=self._by,
            reason=reason,
            champion=champion,
            challenger=Challenger(version=name, artifact=challenger.artifact, percent=larger),
            shadow=state.shadow,
            decision=challenger.decision,
            override=challenger.override,
        )

    def _barred(self, challenger: Challenger) -> str | None:
        """Return why a challenger may not go on, empty where it may; None while nobody can say, but not for ever."""
        try:
            found = self._forbidden(challenger)
        except PipelineError as error:
            if self._undecided is None:
                self._undecided = self._clock()
                log.error("%s cannot go on: %s", challenger.version, error)
            waited = self._clock() - self._undecided
            if waited < self._limits.silence_s:
                return None
            return f"for {waited:.0f} s nobody could say what the gate found: {error}"
        self._undecided = None
        return found

    def _withdrawn(self, state: State, champion: Slot, reason: str) -> Change:
        return Change(action="withdraw", by=self._by, reason=reason, champion=champion, shadow=state.shadow)

    def _work(self, every_s: float) -> None:
        while not self._ending.wait(every_s):
            try:
                self.step()
                self._told = ""
            except PipelineError as error:
                if str(error) != self._told:
                    log.error("The supervisor cannot use the pointer log: %s", error)
                self._told = str(error)
            except Exception as error:  # it must go on
                log.error("%s in the supervisor", type(error).__name__)
