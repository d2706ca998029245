"""One look at a service: windows, drifts, their record, and the run that they start."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, cast

from components.artifacts import JsonValue
from components.errors import StoreError
from components.monitoring.windows import DriftLimits, Window
from components.store import Store
from flows.cli.options import check_local_files
from flows.operations import latest_request
from flows.request import RunRequest
from flows.summary import RunSummary
from flows.watching.records import WatchRecords
from flows.watching.service import (
    read_watcher,
    reference_of_release,
    served_by,
    workers_of,
    write_watcher,
)
from flows.watching.watcher import Drift, Watcher

Action = Literal["run", "event", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one look found."""

    told: str
    """One line for people."""
    release: str | None = None
    drifts: tuple[Drift, ...] = ()
    windows: tuple[Window, ...] = ()
    """The last window of each signal."""
    alarm: int | None = None
    """Number of the record, where there is a drift."""
    action: str = ""
    """`run`, `event`, `none`, `cooling down` or `no data`."""
    run: str | None = None
    """The run that it started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """How one application's service is watched."""

    application: str
    store: Store
    status: Path
    """Folder in which the workers say what they do."""
    run: Callable[[RunRequest], RunSummary]
    """Runs a request to its end."""
    emit: Callable[[str, str, dict[str, JsonValue]], bool] = lambda application, reason, payload: False
    """Tells Prefect of a drift; returns whether it did."""
    action: Action = "run"
    limits: DriftLimits = field(default_factory=DriftLimits)
    cool_down: timedelta = timedelta(days=7)
    """After a drift started a run, none is started for so long: the next windows still show the same. A drift that
    lasts longer starts another."""
    retry: timedelta = timedelta(days=1)
    """As `cool_down`, after a run that failed or an event that nobody took, and where there was no data."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def look(self) -> Look:
        """Look once.

        Raises:
            PipelineError: the service's folder or the store cannot be used, or the run failed.
        """
        workers = workers_of(self.status)
        release = served_by(workers, self.application)
        if release is None:
            return Look(told="no worker answers, or not all with the same release; nothing is judged")
        reference = reference_of_release(self.store, release)
        if reference is None or not reference.signals:
            return Look(
                release=release,
                told=f"{release} has no reference to watch by: it was made by an earlier homeroom, or of too few "
                "students; the next release will have one",
            )
        watcher = read_watcher(self.status, release, self.limits)
        begun, lasting = watcher.look(workers, reference)
        windows = tuple(windows[-1] for _, windows in sorted(watcher.recent.items()))
        look = Look(told=_told(release, windows, len(reference.signals)), release=release, windows=windows)
        records = WatchRecords(self.store, self.application, self.now)
        # What lasts is as good a reason as what begins: the first run may have failed, or have changed nothing.
        lasts = not begun and bool(lasting) and self.action != "none" and not self._is_held(records, lasts=True)
        if not begun and not lasts:
            write_watcher(self.status, watcher)
            return look
        return self._acted(replace(look, drifts=tuple(begun or lasting)), watcher, records, lasts=lasts)

    def _acted(self, look: Look, watcher: Watcher, records: WatchRecords, *, lasts: bool) -> Look:
        """Record a drift before it is taken as known and before anything is done about it, then do it."""
        found = "; ".join(one.sentence() for one in look.drifts)
        why = f"drift of {look.release}{' goes on' if lasts else ''}: {found}"
        action, request = self._action(records)
        signals = [{**one.window.to_json(), "windows": one.k, "of": one.n} for one in look.drifts]
        number = records.add(
            "drift",
            {"release": look.release, "why": why, "action": action, "signals": cast("list[JsonValue]", signals)},
        )
        write_watcher(self.status, watcher)
        reason = f"{why} (alarm {number})"
        payload: dict[str, JsonValue] = {"release": look.release, "alarm": number, "why": why}
        sent = self.emit(self.application, reason, payload)
        look = replace(look, alarm=number, action=action)
        if request is None:
            if action == "event" and not sent:
                records.add("outcome", {"alarm": number, "run": None, "error": "no server"})
                return replace(look, told=f"{reason}; no Prefect server took the event")
            return replace(look, told=f"{reason}; {_WORDS[action]}")
        try:
            summary = self.run(replace(request, reason=reason))
        except BaseException as error:  # also where this process is stopped: the run does not go on without it
            records.add("outcome", {"alarm": number, "run": None, "error": type(error).__name__})
            raise
        version, promoted = summary.outcome.release.version, summary.decision.promote
        records.add("outcome", {"alarm": number, "run": summary.run, "release": version, "promoted": promoted})
        if version == look.release:
            came = "the same release came out: the logs have not changed since"
        else:
            came = f"{version} came out, {'promoted' if promoted else 'not promoted'}: {summary.decision.reason}"
        return replace(look, run=summary.run, told=f"{reason}; run {summary.run}: {came}")

    def _is_held(self, records: WatchRecords, *, lasts: bool) -> bool:
        until = records.held_until(self.cool_down, min(self.retry, self.cool_down), lasts=lasts)
        return until is not None and self.now() < until

    def _action(self, records: WatchRecords) -> tuple[str, RunRequest | None]:
        """Return what is done about a drift now, and the run's request."""
        if self.action == "none":
            return "none", None
        if self._is_held(records, lasts=False):
            return "cooling down", None
        if self.action == "event":
            return "event", None
        request = latest_request(self.store, self.application)
        if request is None:
            return "no data", None
        try:
            check_local_files(request.files())
        except StoreError:
            return "no data", None
        return "run", replace(request, refresh=())


_WORDS = {
    "none": "it is recorded, and nothing else was asked for",
    "cooling down": "an earlier drift started a run a short time ago, so this one starts none",
    "event": "Prefect was told",
    "no data": "there is no data to retrain with: no finished run of this application names logs that are there",
}


def _told(release: str, windows: tuple[Window, ...], signals: int) -> str:
    if not windows:
        return f"{release}: no window of {signals} signals has ended yet"
    most = max(windows, key=lambda one: abs(one.effect))
    smallest = max(one.smallest for one in windows)
    return (
        f"{release}: no new drift; {len(windows)} of {signals} signals have windows, the largest shift is "
        f"{most.effect:+.2f} sd ({most.signal}); shifts from {smallest:.2f} sd on would be seen in 95 of 100 windows"
    )
