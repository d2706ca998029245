"""A promotion that was made before a supervisor began: is it young enough to be watched, and what served before?"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from serving.registry import STAMP, Slot, State


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierPromotion:
    """What is to be watched."""

    former: Slot
    """Who was champion before."""
    age_s: float
    """How long ago it was, seconds."""


def earlier_promotion(
    entry: Callable[[int], State | None], last: State, within_s: float, now: datetime
) -> EarlierPromotion | None:
    """Return the promotion that made the champion of the last entry, if it is young; what came after does not count.

    Args:
        entry: gives the entry with a number, None where there is none that can be read.
        last: the last entry.
        within_s: how long ago it may be, seconds.
        now: the time of day, with its zone. It is read once: this alone is told by the clocks of whoever wrote the
            entries. An entry that they put into the future was made just now.

    Raises:
        StoreError: the log cannot be read.
    """
    made = last
    while made.champion is not None and _age_s(made, now) <= within_s:
        before = entry(made.number - 1)
        if before is None or before.champion is None:
            return None
        if before.champion.artifact != made.champion.artifact:
            if made.action != "promote":
                return None
            return EarlierPromotion(former=before.champion, age_s=_age_s(made, now))
        made = before
    return None


def _age_s(state: State, now: datetime) -> float:
    try:
        made = datetime.strptime(state.at, STAMP).replace(tzinfo=UTC)
    except ValueError:  # no time of ours
        return 0.0
    return max(0.0, (now - made).total_seconds())
