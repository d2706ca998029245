"""Live histograms of a release's signals, in one worker: counts in the bins of its reference, nothing else."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from components.monitoring.counts import SignalCounts, group_of
from components.monitoring.names import REFERENCE
from components.monitoring.reference import Reference
from components.monitoring.signals import signals_of
from serving.bundle import Bundle
from serving.canary import LONGEST

log = logging.getLogger("homeroom.serving")


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitor:
    """Counts what one release is asked and answers."""

    bundle: Bundle
    reference: Reference

    @classmethod
    def of(cls, bundle: Bundle) -> Self | None:
        """Return the monitor of a release; None, with a line in the log, where it has no reference."""
        if not bundle.manifest.has(REFERENCE):
            log.info("Release %s has no %s: drift of its requests is not watched", bundle.version, REFERENCE)
            return None
        try:
            reference = Reference.from_json(json.loads(bundle.manifest.read(REFERENCE)))
        except (KeyError, TypeError, ValueError) as error:  # it was verified, so a later homeroom wrote it
            log.warning("%s of %s cannot be read (%s)", REFERENCE, bundle.version, type(error).__name__)
            return None
        return cls(bundle=bundle, reference=reference)

    def counts(self) -> dict[str, SignalCounts]:
        """Return counts of nothing, of every signal."""
        return {name: SignalCounts(bins=[0] * len(one.counts)) for name, one in self.reference.signals.items()}

    def count(
        self,
        counts: Mapping[str, SignalCounts],
        requests: Sequence[Any],  # Any: the codec's Request
        answers: Sequence[Mapping[str, Any]],  # Any: plain JSON of the codec's Answer
        student: str | None,
    ) -> None:
        """Add the signals of answered requests to `counts`; those that the reference has not are left out.

        Args:
            counts: from `counts`, or what became of them.
            requests: as they were read.
            answers: to each.
            student: the pseudonym that came with the requests, if any; only its group of 32 is kept.
        """
        group = None
        if student is not None and 0 < len(student) <= LONGEST:
            group = group_of(student, self.bundle.version)
        known = self.reference.signals
        for request, answer in zip(requests, answers, strict=True):
            for name, value in signals_of(self.bundle.codec, request, answer).items():
                if name in known:
                    counts[name].add(value, known[name].edges, group)
