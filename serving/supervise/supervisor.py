"""The supervisor: it alone moves pointers while a server runs, by what the server's workers counted.

A canary goes from share to share and is promoted at the end, or withdrawn; a release that was promoted a short time ago
is taken back. Every step is an entry of the pointer log with its figures as the reason. Where somebody else writes an
entry first, theirs counts.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from components.errors import PipelineError, StoreConflictError
from serving.registry import Challenger, Change, Slot, State
from serving.slots import load_failure
from serving.status import WorkerStatus
from serving.supervise.counts import Counts, since
from serving.supervise.judging import Verdict, judge
from serving.supervise.limits import STAGES, Limits
from serving.tally import Tally

log = logging.getLogger("homeroom.serving")
EVERY_S = 1.0


class Log(Protocol):
    """The pointer log, as far as it is needed here."""

    def latest(self) -> State | None:
        """Return the last entry."""

    def after(self, number: int) -> State | None:
        """Return the last entry after this one."""

    def append(self, change: Change, *, expected: int) -> State:
        """Write the next entry."""


class Supervisor:
    """Watches one server. Only one thread may call `step`.

    Args:
        entries: the pointer log.
        workers: gives what the workers say now.
        limits: by which it is decided.
        by: who it is, in the log.
        clock: seconds.
    """

    def __init__(
        self,
        entries: Log,
        workers: Callable[[], Sequence[WorkerStatus]],
        limits: Limits,
        *,
        by: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._entries = entries
        self._workers = workers
        self._limits = limits
        self._by = by
        self._clock = clock
        self._counts = Counts()
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
        self._old = Tally()
        self._told = ""
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

    def step(self) -> State | None:
        """Look once, and write an entry if one is due; return it.

        Raises:
            PipelineError: the log cannot be read or written; nothing was changed.
        """
        workers = self._workers()
        self._counts.read(workers)
        found = self._entries.latest() if self._state is None else self._entries.after(self._state.number)
        if found is not None:
            self._begin(found)
        if self._state is None:
            return None
        crashes = self._crashes(workers)
        behind = [one for one in workers if one.entry != self._state.number]
        if not crashes and (behind or not workers):
            self._since = self._clock()
            if not workers or self._clock() - self._began < self._limits.min_stage_s:
                self._then = self._counts.totals()  # nothing counts before all workers answer by the entry, or had time
                return None
        change = self._due(self._state, workers, crashes)
        if change is None:
            return None
        try:
            written = self._entries.append(change, expected=self._state.number)
        except StoreConflictError as error:
            log.warning("%s", error)
            return None
        log.warning("%s", written.sentence())
        self._begin(written)
        return written

    def _begin(self, state: State) -> None:
        """Take up a new entry; who was champion before it can be brought back, unless it was that already."""
        before = self._state
        totals = self._counts.totals()
        self._former = None
        former = before.champion if before is not None and state.action == "promote" else None
        if former is not None and state.champion is not None and former.artifact != state.champion.artifact:
            self._former = former
            self._old = since(totals, {}, former.version)
        self._state = state
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
        if self._former is not None and self._clock() - self._began <= self._limits.watch_s:
            verdict = judge(champion, self._old, self._limits)
            if trouble := crashes or self._unloadable(state.champion, workers):
                verdict = Verdict(outcome="bad", reason=trouble)
            if verdict.outcome == "bad":
                return Change(
                    action="rollback",
                    by=self._by,
                    reason=f"{state.champion.version} is taken back: {verdict.reason}",
                    champion=self._former,
                    shadow=state.shadow,
                )
        if state.challenger is None:
            return None
        if crashes:
            name = state.challenger.version
            return self._withdrawn(state, state.champion, f"{name} is withdrawn: {crashes}")
        return self._step_of(state, state.champion, state.challenger, champion, totals, workers, waited)

    def _unloadable(self, champion: Slot, workers: Sequence[WorkerStatus]) -> str:
        """Return in words that workers could not load a champion in the time they had; empty where they could."""
        failed = sum(load_failure(champion.version) in one.behind for one in workers)
        if not failed or self._clock() - self._began < self._limits.min_stage_s:
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
        reason = f"{name} did well at {challenger.percent} %: {verdict.reason}"
        larger = next((stage for stage in STAGES if stage > challenger.percent), None)
        if larger is None:
            return Change(
                action="promote",
                by=self._by,
                reason=reason,
                champion=Slot(version=name, artifact=challenger.artifact),
                shadow=state.shadow,
                decision=state.decision,
                override=state.override,
            )
        return Change(
            action="canary",
            by=self._by,
            reason=reason,
            champion=champion,
            challenger=Challenger(version=name, artifact=challenger.artifact, percent=larger),
            shadow=state.shadow,
            decision=state.decision,
            override=state.override,
        )

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
