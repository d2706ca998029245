"""Plain counts of what a release did: requests, failures, latencies, scores. No text, no id, nothing of a request.

A worker writes them to its status file; whoever supervises the workers adds them up and takes differences.
"""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from components.monitoring.counts import SignalCounts, plus

LATENCY_S = tuple(0.0005 * 1.25**step for step in range(50))
"""Upper bounds of the latency buckets, seconds, 0.5 ms to 28 s; the last bucket has none. A quantile read from them is
at most a quarter too high."""
DIFFERENCES = (1e-6, 1e-5, 1e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Upper bounds of the buckets of absolute differences between two releases' scores; the last bucket has none."""
SCORE_NAMES = ("score", "probability", "risk", "value")
"""Fields of an answer, or of the objects in a list of an answer, that hold what the release predicts."""


def score_of(answer: Mapping[str, Any]) -> float | None:  # Any: plain JSON of an answer
    """Return one number for an answer: the mean of what it predicts; None where it predicts nothing (it abstained)."""
    found: list[float] = []
    _collect(answer, found)
    for value in answer.values():
        if isinstance(value, list):
            for one in value:
                if isinstance(one, dict):
                    _collect(one, found)
    return sum(found) / len(found) if found else None


def _collect(node: Mapping[str, Any], found: list[float]) -> None:
    for name in SCORE_NAMES:
        value = node.get(name)
        if isinstance(value, float) and math.isfinite(value):
            found.append(value)


@dataclass(slots=True, kw_only=True)
class Moments:
    """Number, sum and sum of squares of some values: enough for their mean and spread."""

    count: int = 0
    sum: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self.count += 1
        self.sum += value
        self.squares += value * value

    @property
    def mean(self) -> float:
        """Mean; NaN without values."""
        return self.sum / self.count if self.count else math.nan

    @property
    def variance(self) -> float:
        """Variance with n - 1; NaN with fewer than two values."""
        if self.count < 2:
            return math.nan
        return max(0.0, (self.squares - self.sum * self.sum / self.count) / (self.count - 1))

    def plus(self, other: "Moments", sign: int = 1) -> "Moments":
        """Return the moments of both together, or with `sign` -1 of what is in this one and not in the other."""
        return Moments(
            count=self.count + sign * other.count,
            sum=self.sum + sign * other.sum,
            squares=self.squares + sign * other.squares,
        )

    def to_json(self) -> dict[str, float]:
        """Return the fields."""
        return {"count": self.count, "sum": self.sum, "squares": self.squares}


def effect_size(one: Moments, other: Moments) -> float:
    """Return Cohen's d, mean of `one` less mean of `other` over their pooled standard deviation; NaN with too few.

    Two constants are 0 apart when they are equal, infinitely far otherwise.
    """
    if one.count < 2 or other.count < 2:
        return math.nan
    within = (one.count - 1) * one.variance + (other.count - 1) * other.variance
    pooled = math.sqrt(within / (one.count + other.count - 2))
    gap = one.mean - other.mean
    if pooled <= 1e-12:
        return 0.0 if abs(gap) <= 1e-9 else math.copysign(math.inf, gap)
    return gap / pooled


@dataclass(slots=True, kw_only=True)
class Tally:
    """What one release did in one worker since it was loaded there.

    `requests` are those that it answered or failed on; what clients did wrong, and what was refused for want of room,
    is counted apart.
    """

    requests: int = 0
    items: int = 0
    """What `requests` asked: one each, of a list as many as it has that could be read."""
    errors: int = 0
    """Failures (500, 504) among `items`, and what a challenger could not answer and the champion then did."""
    refused: int = 0
    """503, items of lists by themselves: the queue was full."""
    invalid: int = 0
    """4xx, items of lists by themselves: the client's fault, or a release that reads other requests."""
    misread: int = 0
    """Those of `invalid` that the release before could read (`serving.rereading`), while it is in memory."""
    latency: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_S) + 1))
    """Answered requests by time, from the whole body to the answer."""
    scores: Moments = field(default_factory=Moments)
    signals: dict[str, SignalCounts] = field(default_factory=dict)
    """What is watched for drift, by signal (`serving.monitor`)."""

    def count(
        self,
        status: int,
        seconds: float,
        score: float | None,
        *,
        items: int = 1,
        failed: int = 0,
        refused: int = 0,
        invalid: int = 0,
    ) -> None:
        """Count one request by the status of its answer.

        Args:
            status: of the whole answer.
            seconds: from the whole body to the answer.
            score: what was predicted, if anything was.
            items: of a list: those that were answered or failed on.
            failed: how many of them failed, in an answer whose status says no failure; otherwise all did.
            refused: of a list: those that there was no room for.
            invalid: of a list: those that could not be read.
        """
        if status == 503 or status == 429:
            self.refused += 1
        elif 400 <= status < 500:
            self.invalid += 1
        else:
            self.requests += 1
            self.items += items
            self.errors += items if status >= 500 else failed
            self.refused += refused
            self.invalid += invalid
            self.latency[bisect_left(LATENCY_S, seconds)] += 1
            if status < 500 and score is not None:
                self.scores.add(score)

    @property
    def error_rate(self) -> float:
        """Share of `items` that failed; 0 without any."""
        return self.errors / self.items if self.items else 0.0

    @property
    def misread_rate(self) -> float:
        """Share of what this release or the one before could read that this one could not; 0 without any."""
        return self.misread / (self.items + self.misread) if self.misread else 0.0

    def quantile(self, share: float) -> float:
        """Return the upper bound, seconds, of the bucket where this share of the requests is reached; NaN if none."""
        return quantile(self.latency, share)

    def plus(self, other: "Tally", sign: int = 1) -> "Tally":
        """Return both together, or with `sign` -1 what was counted here since `other`."""
        return Tally(
            requests=self.requests + sign * other.requests,
            items=self.items + sign * other.items,
            errors=self.errors + sign * other.errors,
            refused=self.refused + sign * other.refused,
            invalid=self.invalid + sign * other.invalid,
            misread=self.misread + sign * other.misread,
            latency=[a + sign * b for a, b in zip(self.latency, other.latency, strict=True)],
            scores=self.scores.plus(other.scores, sign),
            signals=plus(self.signals, other.signals, sign),
        )

    def to_json(self) -> dict[str, Any]:  # Any: plain JSON
        """Return the fields as plain JSON values."""
        return {
            "requests": self.requests,
            "items": self.items,
            "errors": self.errors,
            "refused": self.refused,
            "invalid": self.invalid,
            "misread": self.misread,
            "latency": list(self.latency),
            "scores": self.scores.to_json(),
            "signals": {name: counts.to_json() for name, counts in self.signals.items()},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Rebuild from `to_json`'s value. Raises KeyError, TypeError or ValueError for anything else."""
        latency = [int(n) for n in value["latency"]]
        if len(latency) != len(LATENCY_S) + 1:
            raise ValueError("another number of latency buckets")
        return cls(
            requests=int(value["requests"]),
            items=int(value.get("items", value["requests"])),
            errors=int(value["errors"]),
            refused=int(value["refused"]),
            invalid=int(value["invalid"]),
            misread=int(value.get("misread", 0)),
            latency=latency,
            scores=_moments(value["scores"]),
            signals={str(name): SignalCounts.from_json(one) for name, one in value.get("signals", {}).items()},
        )


@dataclass(slots=True, kw_only=True)
class Comparison:
    """A shadow's scores beside the champion's, in plain numbers."""

    compared: int = 0
    dropped: int = 0
    """Not answered by the shadow, as its queue was full: it never makes anybody wait."""
    failed: int = 0
    """What the shadow could not answer, and the champion could."""
    differences: list[int] = field(default_factory=lambda: [0] * (len(DIFFERENCES) + 1))
    signed: Moments = field(default_factory=Moments)
    """Shadow's score less the champion's."""

    def compare(self, shadow: float | None, champion: float | None) -> None:
        """Count two answers to the same request; without a score in both there is no difference to count."""
        self.compared += 1
        if shadow is not None and champion is not None:
            self.differences[bisect_left(DIFFERENCES, abs(shadow - champion))] += 1
            self.signed.add(shadow - champion)

    def to_json(self) -> dict[str, Any]:  # Any: plain JSON
        """Return the fields as plain JSON values."""
        return {
            "compared": self.compared,
            "dropped": self.dropped,
            "failed": self.failed,
            "differences": list(self.differences),
            "signed": self.signed.to_json(),
        }


def quantile(counts: Sequence[int], share: float) -> float:
    """Return the upper bound, seconds, of the latency bucket in which `share` of the counts is reached; NaN if none."""
    total = sum(counts)
    if total == 0:
        return math.nan
    reached = 0
    for number, bound in zip(counts, LATENCY_S, strict=False):
        reached += number
        if reached >= share * total:
            return bound
    return math.inf


def _moments(value: Mapping[str, Any]) -> Moments:
    return Moments(count=int(value["count"]), sum=float(value["sum"]), squares=float(value["squares"]))
