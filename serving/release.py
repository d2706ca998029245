"""The decision whether a new release replaces the one that serves: metrics and a verdict in, a sentence out."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

FAIL = "fail"
"""The fairness verdict that stops a release. `not_estimable` and `no_groups` do not; the card says so instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Whether to promote, and why, in a sentence for the record."""

    promote: bool
    reason: str


def decide(
    verdict: str,
    metrics: Mapping[str, float],
    champion: Mapping[str, float] | None,
    tolerance: float,
    *,
    metric: str = "auc",
) -> Decision:
    """Return whether a candidate replaces the champion.

    A candidate whose fairness verdict is `fail` never does. Without a champion any other candidate is promoted; with
    one, it must not be worse on `metric` by more than `tolerance`.

    Args:
        verdict: the candidate's fairness verdict.
        metrics: the candidate's held-out metrics.
        champion: the metrics of what serves now, on the same held-out data; None when nothing serves.
        tolerance: how much worse the candidate may be; at least 0.
        metric: larger is better.
    """
    if not tolerance >= 0:
        raise ValueError(f"tolerance is {tolerance}; expected a number of at least 0, e.g. 0.002.")
    if verdict == FAIL:
        return Decision(promote=False, reason="the fairness verdict is fail")
    if champion is None:
        return Decision(promote=True, reason=f"nothing serves yet, and the fairness verdict is {verdict}")
    new, old = metrics.get(metric, math.nan), champion.get(metric, math.nan)
    if math.isnan(new) or math.isnan(old):
        who = "the candidate" if math.isnan(new) else "the champion"
        return Decision(promote=False, reason=f"{who} has no {metric}, so that nothing can be compared")
    text = f"{metric} {new:.4f} against the champion's {old:.4f}, tolerance {tolerance:g}"
    if new < old - tolerance:
        return Decision(promote=False, reason=f"worse: {text}")
    return Decision(promote=True, reason=f"not worse: {text}")
