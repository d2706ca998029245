"""The one place that hears of every answer, once it is on its way to the client: counts and metrics are made here."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from serving.live import Live
from serving.metrics import Metrics
from serving.rereading import Rereader
from serving.shadow import Shadow
from serving.slots import SlotName
from serving.tally import score_of

log = logging.getLogger("homeroom.serving")
NO_RELEASE = "none"


@dataclass(slots=True, kw_only=True)
class Observed:
    """One request and what became of it. It is dropped at once: nothing of it may be kept but counts."""

    route: str
    """The path of the route, e.g. `/predict`; never what the client sent."""
    live: Live
    """The release that answered, or was to."""
    slot: SlotName = "champion"
    status: int = 200
    seconds: float = 0.0
    """From the whole body to the answer."""
    requests: tuple[Any, ...] = ()  # Any: the codec's Request
    answers: tuple[Any, ...] = ()  # Any: plain JSON of the codec's Answer
    """The answers to `requests`; empty where there are none."""
    items: int = 1
    """What it asked and was answered or failed on: more or fewer than one only for a list."""
    failed: int = 0
    refused: int = 0
    invalid: int = 0
    """Items of a list that failed, that there was no room for, and that could not be read."""
    student: str | None = None
    """The pseudonym that came with it, if any; of it only a group of 32 is counted by."""
    body: bytes = b""
    """As it was sent."""
    unanswered: frozenset[int] | None = None
    """Places in a list of what has no answer; None where it is no list, or none of it has."""
    stumbled: Live | None = None
    """The challenger that could not answer what the champion then did."""
    missed: int = 0
    """How many answers it was that only the champion had: more than one only for a list."""
    former: Live | None = None
    """Who was champion before, and says whether it could read what this one could not."""
    unread: tuple[int, ...] = ()
    """Places in a list of what could not be read, where the list was answered."""
    shadow: Shadow | None = None
    """Is to answer a copy."""
    begin: float = 0.0
    """When the whole body was there, by `time.perf_counter`."""


class Observer:
    """Counts answers.

    Args:
        metrics: of this process.
    """

    def __init__(self, metrics: Metrics) -> None:
        self.metrics = metrics
        self.rereader = Rereader()

    def soon(self, found: Observed) -> None:
        """Have it observed when the event loop comes to it, which is after the answer went out."""
        asyncio.get_running_loop().call_soon(self._observe, found)

    def _observe(self, found: Observed) -> None:
        try:
            self.observed(found)
        except Exception as error:  # asyncio would log the message, which may hold a student's data
            log.error("%s while counting an answer", type(error).__name__)

    def observed(self, found: Observed) -> None:
        """Count one request: once for the release, and in the metrics."""
        live = found.live
        release = live.bundle.version if live.bundle is not None else NO_RELEASE
        self.metrics.request(found.route, found.status, release, found.slot, found.seconds)
        if not found.route.startswith("/predict"):
            return
        scores = [score for score in map(score_of, found.answers) if score is not None]
        score = sum(scores) / len(scores) if scores else None
        live.tally.count(
            found.status,
            found.seconds,
            score,
            items=found.items,
            failed=found.failed,
            refused=found.refused,
            invalid=found.invalid,
        )
        if found.former is not None and found.former.bundle is not None and found.body:
            is_list = found.route != "/predict"
            if found.status == 400 or found.unread:
                self.rereader.offer(found.former.bundle, live.tally, found.body, is_list=is_list, places=found.unread)
        if live.monitor is not None:
            live.monitor.count(live.tally.signals, found.requests, found.answers, found.student)
        if found.shadow is not None and found.status == 200:
            found.shadow.offer(found.body, score)
        if found.stumbled is not None and found.stumbled.bundle is not None:
            found.stumbled.tally.count(500, found.seconds, None, items=found.missed)
            self.metrics.fallback(found.stumbled.bundle.version)
