"""The service's own Prometheus metrics, of all its workers together: `/metrics` adds up the files that they share.

Names and labels are fixed here; a label never holds what a client chose. BentoML's own metrics are left out: they label
by the path as the client sent it, and so grow with every path that anybody thinks of.
"""

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import prometheus_client

from serving.monitor_metrics import MonitorMetrics

REQUEST_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Every metric of a worker; made once per process."""

    def __init__(self, registry: Any = None) -> None:  # Any: prometheus_client's CollectorRegistry
        place: dict[str, Any] = {"registry": prometheus_client.REGISTRY if registry is None else registry}
        self._requests = prometheus_client.Counter(
            "homeroom_requests",
            "Requests by route, status, the release that answered and its slot.",
            ["route", "status", "release", "slot"],
            **place,
        )
        self._seconds = prometheus_client.Histogram(
            "homeroom_request_seconds",
            "From the whole body to the answer.",
            ["route", "release"],
            buckets=REQUEST_S,
            **place,
        )
        self._refusals = prometheus_client.Counter(
            "homeroom_refusals", "Requests that the door refused, by status; no release saw them.", ["status"], **place
        )
        self._fallbacks = prometheus_client.Counter(
            "homeroom_challenger_fallbacks",
            "Requests that the challenger could not answer and the champion did.",
            ["release"],
            **place,
        )
        self._shadow = prometheus_client.Counter(
            "homeroom_shadow",
            "Copies of requests by what the shadow did with them: compared, dropped or failed.",
            ["release", "outcome"],
            **place,
        )
        self._difference = prometheus_client.Histogram(
            "homeroom_shadow_difference",
            "Absolute difference of the shadow's score from the one that was answered.",
            ["release"],
            buckets=(1e-6, 1e-4, 1e-3, 0.01, 0.03, 0.1, 0.3, 1.0),
            **place,
        )
        self._swaps = prometheus_client.Counter(
            "homeroom_swaps", "Changes of what a worker answers with, by the champion afterwards.", ["release"], **place
        )
        self._failed = prometheus_client.Counter(
            "homeroom_failed_loads", "Releases that a worker could not load, in tries.", ["release"], **place
        )
        self._unreachable = prometheus_client.Counter(
            "homeroom_pointer_failures", "Looks at the pointer log that failed.", **place
        )
        self._waiting = prometheus_client.Gauge(
            "homeroom_waiting_requests", "Requests in the queues now.", multiprocess_mode="livesum", **place
        )
        self._live = prometheus_client.Gauge(
            "homeroom_live_workers",
            "Workers that hold a release in a slot.",
            ["slot", "release"],
            multiprocess_mode="livesum",
            **place,
        )
        self._entry = prometheus_client.Gauge(
            "homeroom_pointer_entry",
            "Entry of the pointer log that the worker furthest behind answers by.",
            multiprocess_mode="livemin",
            **place,
        )
        self.monitoring = MonitorMetrics(place)
        self._children: dict[tuple[Any, ...], Any] = {}
        self._held: set[tuple[str, str]] = set()

    def request(self, route: str, status: int, release: str, slot: str, seconds: float) -> None:
        """Count one request."""
        key = (route, status, release, slot)
        found = self._children.get(key)
        if found is None:
            found = self._children[key] = (
                self._requests.labels(route, str(status), release, slot),
                self._seconds.labels(route, release),
            )
        found[0].inc()
        found[1].observe(seconds)

    def refusal(self, status: int) -> None:
        """Count a request that the door refused."""
        self._refusals.labels(str(status)).inc()

    def fallback(self, release: str) -> None:
        """Count a request that the champion answered in the challenger's place."""
        self._fallbacks.labels(release).inc()

    def shadow(self, release: str, outcome: str, difference: float | None) -> None:
        """Count what a shadow did with a copy."""
        self._shadow.labels(release, outcome).inc()
        if difference is not None:
            self._difference.labels(release).observe(abs(difference))

    def swap(self, release: str) -> None:
        """Count a change of what this worker answers with."""
        self._swaps.labels(release).inc()

    def failed_load(self, release: str) -> None:
        """Count a release that could not be loaded."""
        self._failed.labels(release).inc()

    def pointer_failure(self) -> None:
        """Count a look at the log that failed."""
        self._unreachable.inc()

    def state(self, waiting: int, entry: int | None, held: set[tuple[str, str]]) -> None:
        """Say how many requests wait, which entry is answered by, and which (slot, release) this worker holds."""
        self._waiting.set(waiting)
        if entry is not None:
            self._entry.set(entry)
        for slot, release in self._held - held:
            self._live.labels(slot, release).set(0)
        for slot, release in held:
            self._live.labels(slot, release).set(1)
        self._held = held


def forget_dead_workers(is_alive: Callable[[int], bool]) -> None:
    """Have `/metrics` no longer add the gauges of workers that were killed; their counts stay counted."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    for path in Path(folder).glob("gauge_live*_*.db") if folder else ():
        pid = path.stem.rpartition("_")[2]
        if pid.isdecimal() and not is_alive(int(pid)):
            path.unlink(missing_ok=True)


@cache
def process_metrics() -> Metrics:
    """Return this process's metrics. In BentoML's workers they are shared through the folder that BentoML names."""
    return Metrics()
