"""Is a new release better left in its place? Plain counts in, a verdict in words out; nothing here acts."""

import math
from dataclasses import dataclass
from typing import Literal

from serving.supervise.limits import Limits
from serving.tally import Tally, effect_size


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the counts say."""

    outcome: Literal["wait", "good", "bad"]
    reason: str
    """One sentence with the figures."""


def judge(new: Tally, old: Tally, limits: Limits) -> Verdict:
    """Compare what a new release did with what another did.

    Failures count at once, from `min_errors` on; what it cannot read, and the release before could, from `min_requests`
    on, answered or not; latency and scores only from `min_requests` on, and only where the other release has as many to
    compare with.

    Args:
        new: counted since the new release got its place.
        old: of the champion beside it, or of the one before.
        limits: what is too much.
    """
    rate, other = new.error_rate, old.error_rate
    figures = f"{new.requests} requests, {new.errors} failures"
    if new.errors >= limits.min_errors and rate > other + limits.error_rate:
        return Verdict(
            outcome="bad",
            reason=f"{rate:.1%} of {new.items} requests failed, {other:.1%} of the other release's {old.items}; "
            f"allowed are {limits.error_rate:.1%} more",
        )
    asked = new.items + new.misread
    if asked >= limits.min_requests and new.misread_rate > limits.invalid_rate:
        return Verdict(
            outcome="bad",
            reason=f"{new.misread_rate:.1%} of {asked} requests could not be read, and the release before could read "
            f"them; allowed are {limits.invalid_rate:.1%}",
        )
    if new.requests < limits.min_requests:
        return Verdict(outcome="wait", reason=f"{figures} of at least {limits.min_requests}")
    if old.requests >= limits.min_requests:
        now, other = new.quantile(0.95), old.quantile(0.95)
        if now > max(limits.latency_floor_s, limits.latency_ratio * other):
            return Verdict(
                outcome="bad",
                reason=f"the 95th percentile of the latency is {now * 1e3:.0f} ms, {other * 1e3:.0f} ms of the other "
                f"release; allowed is {limits.latency_ratio:g} times that",
            )
        shift = effect_size(new.scores, old.scores)
        if not math.isnan(shift) and abs(shift) > limits.score_shift:
            return Verdict(
                outcome="bad",
                reason=f"the mean score is {new.scores.mean:.3g}, {old.scores.mean:.3g} of the other release: a shift "
                f"of {shift:.2f} standard deviations, allowed are {limits.score_shift:g}",
            )
    return Verdict(outcome="good", reason=figures)
