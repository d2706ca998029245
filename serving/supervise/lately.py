"""What a release did lately, rather than in its whole time: logs drift, and a new release answers today's requests."""

from collections.abc import Mapping

from serving.supervise.counts import since
from serving.tally import Tally

EVERY_S = 60.0
MOST = 64
"""Moments that are kept; of the older half, every other one goes when there are more, so that they reach far back."""


class Lately:
    """Remembers the totals at some moments."""

    def __init__(self) -> None:
        self._moments: list[tuple[float, Mapping[str, Tally]]] = []

    def mark(self, now_s: float, totals: Mapping[str, Tally]) -> None:
        """Remember the totals of this moment, unless it was done within a minute."""
        if self._moments and now_s - self._moments[-1][0] < EVERY_S:
            return
        self._moments.append((now_s, totals))
        if len(self._moments) > MOST:
            half = MOST // 2
            self._moments[:-half] = self._moments[:-half:2]

    def did(self, totals: Mapping[str, Tally], version: str, enough: int) -> Tally:
        """Return what a release did since the last moment from which on it answered `enough` requests, or ever."""
        for _, then in reversed(self._moments):
            found = since(totals, then, version)
            if found.requests >= enough:
                return found
        return since(totals, {}, version)
