"""From totals to windows to alarms, for one release: what `homeroom watch` knows between two looks, as plain JSON."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from components.monitoring.counts import SignalCounts
from components.monitoring.reference import Reference
from components.monitoring.windows import DriftLimits, Window, alarm, judged
from flows.watching.totals import Totals, signals_from_json, signals_to_json
from serving.status import WorkerStatus

FORMAT = 1
MOST_KEPT = 20
"""Windows of a signal that are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """A drift of one signal: one that has just begun, or one that goes on."""

    window: Window
    """The latest."""
    k: int
    """How many of the last `n` windows show the same."""
    n: int

    def sentence(self) -> str:
        """Return it in words."""
        one = self.window
        if one.found == "shape":
            what = f"another shape (stability index {one.index:.2f})"
        else:
            what = f"{one.found} by {abs(one.effect):.2f} sd (limit {one.threshold:.2f})"
        return f"{one.signal} {what} in {self.k} of its last {self.n} windows"


@dataclass(slots=True, kw_only=True)
class Watcher:
    """State of the watch over one release."""

    release: str
    limits: DriftLimits
    totals: Totals = field(default_factory=Totals)
    starts: dict[str, SignalCounts] = field(default_factory=dict)
    """Totals when each signal's window began."""
    recent: dict[str, list[Window]] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)
    """Windows that ended, by signal."""
    alarmed: set[str] = field(default_factory=set)
    """Signals that are in a drift."""

    def look(self, workers: Iterable[WorkerStatus], reference: Reference) -> tuple[list[Drift], list[Drift]]:
        """Take what the workers counted, end windows, and return the drifts that begin and that go on with them."""
        self.totals.read(workers, self.release)
        begun: list[Drift] = []
        lasting: list[Drift] = []
        for name, counts in self.totals.sum().items():
            if name not in reference.signals:
                continue
            began = self.starts.get(name)
            part = counts if began is None else counts.plus(began, -1)
            window = judged(name, part, reference.signals[name], len(reference.signals), self.limits)
            if window is None:
                continue
            self.starts[name] = counts
            self.recent[name] = [*self.recent.get(name, []), window][-MOST_KEPT:]
            self.ended[name] = self.ended.get(name, 0) + 1
            if not alarm(self.recent[name], self.limits):
                self.alarmed.discard(name)
                continue
            last = self.recent[name][-self.limits.n :]
            same = sum(one.found == window.found for one in last)
            (lasting if name in self.alarmed else begun).append(Drift(window=window, k=same, n=len(last)))
            self.alarmed.add(name)
        return begun, lasting

    def shown(self) -> dict[str, dict[str, float]]:
        """Return the figures of each signal's last window, for metrics."""
        return {
            name: {
                "effect": windows[-1].effect,
                "threshold": windows[-1].threshold,
                "index": windows[-1].index,
                "alarm": float(name in self.alarmed),
                "windows": float(self.ended[name]),
            }
            for name, windows in self.recent.items()
        }

    def to_json(self) -> dict[str, Any]:  # Any: plain JSON
        """Return all of it as plain JSON values; `shown` is for the workers' metrics."""
        return {
            "format": FORMAT,
            "release": self.release,
            "totals": self.totals.to_json(),
            "starts": signals_to_json(self.starts),
            "recent": {name: [one.to_json() for one in windows] for name, windows in self.recent.items()},
            "ended": dict(self.ended),
            "alarmed": sorted(self.alarmed),
            "shown": self.shown(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any], limits: DriftLimits) -> Self:
        """Rebuild from `to_json`'s value. Raises KeyError, TypeError or ValueError for anything else."""
        if value["format"] != FORMAT:
            raise ValueError("another format")
        return cls(
            release=str(value["release"]),
            limits=limits,
            totals=Totals.from_json(value["totals"]),
            starts=signals_from_json(value["starts"]),
            recent={name: [Window.from_json(one) for one in windows] for name, windows in value["recent"].items()},
            ended={str(name): int(number) for name, number in value["ended"].items()},
            alarmed=set(value["alarmed"]),
        )
