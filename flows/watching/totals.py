"""What all workers of a server counted of one release's signals, although workers come and go; survives as JSON."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import psutil

from components.monitoring.counts import SignalCounts, plus
from serving.status import WorkerStatus

Signals = Mapping[str, SignalCounts]


@dataclass(slots=True, kw_only=True)
class Totals:
    """Counts as last read, by worker, and of workers that began anew."""

    latest: dict[str, Signals] = field(default_factory=dict)
    """By `<process number>-<start>`; the start is of the process, whatever the clock was set to since."""
    ended: Signals = field(default_factory=dict)

    def read(self, workers: Iterable[WorkerStatus], release: str) -> None:
        """Take what the workers say now. A count that fell begins anew: the worker loaded the release again.

        What processes counted that are gone is added up, so that workers that end again and again fill no memory.
        """
        here = set[str]()
        for worker in workers:
            tally = worker.releases.get(release)
            if tally is None:
                continue
            key = f"{worker.pid}-{worker.started:.2f}"
            here.add(key)
            before = self.latest.get(key, {})
            if any(name in tally.signals and tally.signals[name].count < one.count for name, one in before.items()):
                self.ended = plus(self.ended, before)
            self.latest[key] = tally.signals
        for key in self.latest.keys() - here:
            if not psutil.pid_exists(int(key.partition("-")[0])):  # one that is there may speak again
                self.ended = plus(self.ended, self.latest.pop(key))

    def sum(self) -> dict[str, SignalCounts]:
        """Return what was counted since this began to read."""
        found = dict(self.ended)
        for counts in self.latest.values():
            found = plus(found, counts)
        return found

    def to_json(self) -> dict[str, Any]:  # Any: plain JSON
        """Return the fields as plain JSON values."""
        return {
            "latest": {key: signals_to_json(counts) for key, counts in self.latest.items()},
            "ended": signals_to_json(self.ended),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`'s value. Raises KeyError, TypeError or ValueError for anything else."""
        return cls(
            latest={str(key): signals_from_json(counts) for key, counts in value["latest"].items()},
            ended=signals_from_json(value["ended"]),
        )


def signals_to_json(counts: Signals) -> dict[str, Any]:
    """Return counts by signal as plain JSON values."""
    return {name: one.to_json() for name, one in counts.items()}


def signals_from_json(value: Mapping[str, Any]) -> dict[str, SignalCounts]:
    """Rebuild from `signals_to_json`'s value. Raises KeyError, TypeError or ValueError for anything else."""
    return {str(name): SignalCounts.from_json(one) for name, one in value.items()}
