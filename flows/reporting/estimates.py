"""A figure as the page shows it: value and interval, or words for why there is none. Never 0 in place of nothing."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WORDS = {
    "too_few": "too few",
    "not_estimable": "not estimable",
    "suppressed": "not shown",
}
UNKNOWN = "not estimable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """One figure. Without a value there are words in its place; the interval may lack on its own."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    words: str = UNKNOWN

    @property
    def has_interval(self) -> bool:
        """Whether both ends are known."""
        return self.low is not None and self.high is not None


def estimate_of(found: Any) -> Estimate:  # Any: parsed JSON
    """Return the estimate that `{"status", "value", "low", "high"}` says; anything else is not estimable."""
    if not isinstance(found, Mapping):
        return Estimate()
    status = str(found.get("status", "ok"))
    value = number(found.get("value"))
    if status != "ok" or value is None:
        return Estimate(words=WORDS.get(status, UNKNOWN))
    return Estimate(value=value, low=number(found.get("low")), high=number(found.get("high")))


def estimate_with(value: Any, interval: Sequence[Any] | None) -> Estimate:  # Any: parsed JSON
    """Return the estimate of a value and its interval as `metrics.json` has them."""
    low, high = interval if interval else (None, None)
    return Estimate(value=number(value), low=number(low), high=number(high))


def number(value: Any) -> float | None:  # Any: parsed JSON
    """Return a finite number, or None for everything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def shown(value: float | None, *, signed: bool = False, decimals: int = 3) -> str:
    """Return a number for people, or `not estimable`."""
    if value is None:
        return UNKNOWN
    text = f"{round(value, decimals) + 0.0:{'+' if signed else ''}.{decimals}f}"  # no sign before nothing but zeros
    return text.replace("-", "\N{MINUS SIGN}")
