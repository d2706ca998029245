"""Whether a model is better than what it is compared with: a verdict from an interval, and a sentence that says it."""

from dataclasses import dataclass
from typing import Literal

from components.evaluate.bootstrap import Interval

Verdict = Literal["better", "not_better", "not_estimable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The model's value minus the baseline's."""

    value: float
    interval: Interval


def verdict_of(interval: Interval) -> Verdict:
    """Return `better` where the whole interval of a difference lies above 0; the metric is better when larger."""
    if interval.low is None:
        return "not_estimable"
    return "better" if interval.low > 0.0 else "not_better"


def sentence_of(metric: str, own: float, title: str, other: float, difference: Difference, *, confidence: float) -> str:
    """Return the verdict in plain words.

    Args:
        metric: how a sentence names the metric, e.g. `AUC`.
        own: the model's value.
        title: how a sentence names the baseline.
        other: the baseline's value.
        difference: of the two, under the same resamples.
        confidence: of the difference's interval.
    """
    low, high = difference.interval.low, difference.interval.high
    figures = f"{metric} {own:.4f} against {other:.4f}, difference {difference.value:+.4f}"
    if low is None or high is None:
        return f"Whether the model is better than {title} cannot be told from so few students: {figures}."
    judged = "is" if verdict_of(difference.interval) == "better" else "is not shown to be"
    if high < 0.0:
        judged = "is worse, not"
    return (
        f"The model {judged} better than {title}: {figures} "
        f"({confidence:.0%} interval {low:+.4f} to {high:+.4f}, students resampled in pairs)."
    )
