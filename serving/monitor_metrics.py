"""Prometheus metrics of monitoring: histograms of signals, and what `homeroom watch` last said."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import prometheus_client

from components.monitoring.counts import SignalCounts
from components.monitoring.reference import SignalReference

LAST_WATCH = "last-watch"
"""File in the status folder: what `homeroom watch` knows and last said; every worker shows it."""


class MonitorMetrics:
    """The metrics; made with the others of a worker.

    Args:
        place: `registry` of the metrics.
    """

    def __init__(self, place: Mapping[str, Any]) -> None:  # Any: prometheus_client's CollectorRegistry
        newest = {"multiprocess_mode": "mostrecent", **place}
        self._values = prometheus_client.Counter(
            "homeroom_signal_values",
            "Values of a signal of requests and answers, by the bin of the release's reference that they fall into; "
            "the bin's label is its upper bound.",
            ["release", "signal", "bin"],
            **place,
        )
        self._reference = prometheus_client.Gauge(
            "homeroom_signal_reference_share",
            "Share of the reference's values in a bin.",
            ["release", "signal", "bin"],
            **newest,
        )
        self._effect = prometheus_client.Gauge(
            "homeroom_drift_effect",
            "Mean of the last window less the reference's, in standard deviations.",
            ["release", "signal"],
            **newest,
        )
        self._threshold = prometheus_client.Gauge(
            "homeroom_drift_threshold",
            "What the effect of the last window had to exceed, up or down.",
            ["release", "signal"],
            **newest,
        )
        self._index = prometheus_client.Gauge(
            "homeroom_drift_index",
            "Population stability index of the last window, less what chance gives it.",
            ["release", "signal"],
            **newest,
        )
        self._alarm = prometheus_client.Gauge(
            "homeroom_drift_alarm",
            "1 where the last windows of a signal are a drift, otherwise 0.",
            ["release", "signal"],
            **newest,
        )
        self._windows = prometheus_client.Gauge(
            "homeroom_drift_windows", "Windows of a signal that ended.", ["release", "signal"], **newest
        )
        self._quality = prometheus_client.Gauge(
            "homeroom_live_quality",
            "Quality of a release by what came afterwards: teachers' overrides, or the next answers.",
            ["release", "metric"],
            **newest,
        )
        self._quality_values = prometheus_client.Gauge(
            "homeroom_live_quality_values", "How many answers the live quality is of.", ["release", "metric"], **newest
        )
        self._counted: dict[tuple[str, str], list[int]] = {}
        self._alarms: set[tuple[str, str]] = set()
        """Release and signal of the alarms that were said."""
        self._shown: bytes = b""

    def signals(
        self, release: str, reference: Mapping[str, SignalReference], counts: Mapping[str, SignalCounts]
    ) -> None:
        """Show the bins of a release that this worker counted; called about once a second, never for a request."""
        for name, one in reference.items():
            bins, total = list(counts[name].bins), sum(one.counts)
            before = self._counted.get((release, name))
            labels = [f"{edge:g}" for edge in one.edges] + ["+Inf"]
            if before is None:
                for label, share in zip(labels, one.counts, strict=True):
                    self._reference.labels(release, name, label).set(share / total)
                before = [0] * len(bins)
            # A release that was loaded again begins anew.
            fell = any(now < then for now, then in zip(bins, before, strict=True))
            for label, now, then in zip(labels, bins, before, strict=True):
                more = now if fell else now - then
                if more or not any(before):
                    self._values.labels(release, name, label).inc(more)
            self._counted[release, name] = bins

    def watched(self, folder: Path | None) -> None:
        """Show what `homeroom watch` last said, if it said anything; what cannot be read is left out.

        Alarms that it no longer speaks of are 0: of a former release, also where a worker before this one showed them.
        """
        try:
            body = (folder / LAST_WATCH).read_bytes() if folder is not None else b""
            if body == self._shown or not body:
                return
            value = json.loads(body)
            release = str(value["release"])
            for name, one in value["shown"].items():
                self._effect.labels(release, name).set(float(one["effect"]))
                self._threshold.labels(release, name).set(float(one["threshold"]))
                self._index.labels(release, name).set(float(one["index"]))
                self._alarm.labels(release, name).set(float(one["alarm"]))
                self._windows.labels(release, name).set(float(one["windows"]))
            said = {(release, str(name)) for name in value["shown"]}
            former = {(str(of), str(name)) for of, names in value.get("former", {}).items() for name in names}
            for labels in (self._alarms | former) - said:
                self._alarm.labels(*labels).set(0.0)
            self._alarms = said
            for of, metrics in value.get("quality", {}).items():
                for name, one in metrics.items():
                    self._quality.labels(of, name).set(float(one["value"]))
                    self._quality_values.labels(of, name).set(float(one["n"]))
            self._shown = body
        except (OSError, KeyError, TypeError, ValueError, AttributeError):
            return
