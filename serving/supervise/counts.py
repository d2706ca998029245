"""Adding up what the workers of a server counted, and taking differences over time although workers come and go."""

from collections.abc import Iterable, Mapping

from serving.status import WorkerStatus
from serving.tally import Tally

Key = tuple[int, float, str]
"""Process number and start of a worker, and a release."""


class Counts:
    """What every worker counted, also those that are gone, as last read."""

    def __init__(self) -> None:
        self._latest: dict[Key, Tally] = {}
        self._ended: dict[str, Tally] = {}

    def read(self, workers: Iterable[WorkerStatus]) -> None:
        """Take what the workers say now. A count that fell begins anew: the worker loaded the release again."""
        for worker in workers:
            for version, tally in worker.releases.items():
                key = (worker.pid, worker.started, version)
                before = self._latest.get(key)
                if before is not None and tally.requests + tally.invalid + tally.refused < (
                    before.requests + before.invalid + before.refused
                ):
                    self._ended[version] = self._ended.get(version, Tally()).plus(before)
                self._latest[key] = tally

    def totals(self) -> dict[str, Tally]:
        """Return what each release did since this began to read."""
        found = dict(self._ended)
        for (_, _, version), tally in self._latest.items():
            found[version] = found[version].plus(tally) if version in found else tally
        return found


def since(now: Mapping[str, Tally], then: Mapping[str, Tally], version: str) -> Tally:
    """Return what a release did between two totals."""
    found = now.get(version, Tally())
    return found.plus(then[version], -1) if version in then else found
