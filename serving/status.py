"""What each worker of a server says once a second in a folder that they share: plain counts, no text, no id.

    <folder>/<pid>.json

Whoever supervises the server reads them; `/v1/version` of every worker lists them all.
"""

import contextlib
import json
import logging
import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from components.processes import Start, is_same, start_of
from serving.metrics import Metrics, forget_dead_workers
from serving.openapi import WorkerInfo
from serving.slots import Server
from serving.tally import Tally

log = logging.getLogger("homeroom.serving")
FORMAT = 1
EVERY_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """What one worker said."""

    pid: int
    started: float
    """When its process began, in seconds as `components.processes.Start` has them."""
    boot: str = ""
    """The id of the system's start; empty in what an older worker said."""
    at: float
    """When it said so."""
    entry: int | None
    release: str | None
    challenger: str | None
    percent: int
    shadow: str | None
    ready: bool
    reason: str
    behind: str
    releases: dict[str, Tally] = field(default_factory=dict)
    """What each release in its memory did since it was loaded, by version."""
    comparison: dict[str, Any] | None = None  # Any: plain JSON
    """The shadow's, see `serving.tally.Comparison`."""

    def to_json(self) -> dict[str, Any]:  # Any: plain JSON
        """Return the fields as plain JSON values."""
        return {
            "format": FORMAT,
            **{name: getattr(self, name) for name in self.__slots__ if name not in {"releases", "comparison"}},
            "releases": {version: tally.to_json() for version, tally in self.releases.items()},
            "comparison": self.comparison,
        }

    @classmethod
    def from_json(cls, value: Any) -> "WorkerStatus":  # Any: parsed JSON
        """Rebuild from `to_json`'s value. Raises KeyError, TypeError or ValueError for anything else."""
        if value["format"] != FORMAT:
            raise ValueError("another format")
        names = [name for name in cls.__slots__ if name not in {"boot", "releases"}]
        releases = {str(version): Tally.from_json(tally) for version, tally in value["releases"].items()}
        return cls(**{name: value[name] for name in names}, boot=value.get("boot", ""), releases=releases)


def status_of(server: Server) -> WorkerStatus:
    """Return what this process has to say."""
    slots = server.slots
    bundle = slots.champion.bundle
    challenger = slots.challenger.bundle if slots.challenger is not None else None
    began = start_of(os.getpid()) or Start("", 0.0)
    return WorkerStatus(
        pid=os.getpid(),
        started=began.at_s,
        boot=began.boot,
        at=time.time(),
        entry=slots.entry,
        release=bundle.version if bundle is not None else None,
        challenger=challenger.version if challenger is not None else None,
        percent=slots.percent,
        shadow=slots.shadow.bundle.version if slots.shadow is not None else None,
        ready=slots.champion.is_ready,
        reason=slots.champion.reason,
        behind=server.behind,
        releases=server.tallies(),
        comparison=slots.shadow.comparison.to_json() if slots.shadow is not None else None,
    )


def read_statuses(folder: Path) -> list[WorkerStatus]:
    """Return what the living workers said, by process number. What cannot be read, or is of a dead one, is left out."""
    found = []
    for path in sorted(folder.glob("*.json")):
        with contextlib.suppress(OSError, KeyError, TypeError, ValueError):
            one = WorkerStatus.from_json(json.loads(path.read_bytes()))
            if is_same(one.pid, Start(one.boot, one.started)):
                found.append(one)
    return sorted(found, key=lambda one: one.pid)


def workers_info(server: Server) -> list[WorkerInfo]:
    """Return what `/v1/version` says of all workers; this one as it is now."""
    mine = status_of(server)
    others = read_statuses(server.status_folder) if server.status_folder is not None else []
    found = sorted([mine, *(one for one in others if one.pid != mine.pid)], key=lambda one: one.pid)
    now = time.time()
    names = WorkerInfo.model_fields.keys() - {"age_s"}
    return [
        WorkerInfo(**{name: getattr(one, name) for name in names}, age_s=round(max(0.0, now - one.at), 1))
        for one in found
    ]


class Reporter:
    """Says once a second, in a thread, what this worker does: to the status folder and to the metrics.

    Args:
        server: this worker.
        metrics: of this process.
        every_s: how often.
    """

    def __init__(self, server: Server, metrics: Metrics, *, every_s: float = EVERY_S) -> None:
        self._server = server
        self._metrics = metrics
        self._every_s = every_s
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="homeroom-status", daemon=True)

    def start(self) -> None:
        """Remove what dead workers left, report, and begin."""
        forget_dead_workers(psutil.pid_exists)
        folder = self._server.status_folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for path in folder.glob("*.json"):
                if path.stem.isdecimal() and not psutil.pid_exists(int(path.stem)):
                    path.unlink(missing_ok=True)
        self.report()
        self._server.changed = self._report_safely
        self._thread.start()

    def report(self) -> None:
        """Report now."""
        server = self._server
        slots = server.slots
        held = (("champion", slots.champion), ("challenger", slots.challenger))
        releases = {(slot, live.bundle.version) for slot, live in held if live is not None and live.bundle is not None}
        if slots.shadow is not None:
            releases.add(("shadow", slots.shadow.bundle.version))
        waiting = sum(live.batcher.waiting for _, live in held if live is not None and live.batcher is not None)
        self._metrics.state(waiting, slots.entry, releases)
        for _, live in held:
            if live is not None and live.bundle is not None and live.monitor is not None:
                monitoring, signals = self._metrics.monitoring, live.monitor.reference.signals
                monitoring.signals(live.bundle.version, signals, live.tally.signals)
        self._metrics.monitoring.watched(server.status_folder)
        if server.status_folder is None:
            return
        path = server.status_folder / f"{os.getpid()}.json"
        part = path.with_suffix(".part")
        try:
            part.write_text(json.dumps(status_of(server).to_json()), encoding="utf-8")
            os.replace(part, path)
        except OSError as error:  # a full disk must not stop the service
            log.warning("The status could not be written: %s", error.strerror or type(error).__name__)

    def close(self) -> None:
        """End, and remove this worker's file."""
        self._ending.set()
        self._thread.join(5.0)
        if self._server.status_folder is not None:
            (self._server.status_folder / f"{os.getpid()}.json").unlink(missing_ok=True)

    def _work(self) -> None:
        while not self._ending.wait(self._every_s):
            self._report_safely()

    def _report_safely(self) -> None:
        with self._lock:
            try:
                self.report()
            except Exception as error:  # what it is called from must go on
                log.error("%s while reporting the status", type(error).__name__)
