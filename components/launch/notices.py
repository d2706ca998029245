"""What the processes of one machine leave for what started them: that one ended in good order, or that one hangs."""

import os
import shutil
import socket
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from components.launch.job import ERRORS

FOLDER = "notices"
Late = Mapping[str, int]
"""Notes on processes that did not arrive -> when each was last made; only to tell whether it was made again."""


def forget_earlier(folder: Path) -> None:
    """Remove the notices and errors that processes of an earlier run left in the job's folder."""
    for left in (ERRORS, FOLDER):
        shutil.rmtree(folder / left, ignore_errors=True)


class Notices:
    """The notices of one machine's processes, in the job's folder, which several machines may share.

    Args:
        folder: the job's.
        engine: process id of the torchrun that started the processes; by default this process.
    """

    def __init__(self, folder: Path, engine: int | None = None) -> None:
        self._place = folder / FOLDER
        self._name = f"{socket.gethostname()}-{os.getpid() if engine is None else engine}"

    def clear(self) -> None:
        """Forget what processes left that had the same number before."""
        for path in self._place.glob(f"{self._name}-*"):
            path.unlink(missing_ok=True)

    def begin(self, local_rank: int) -> None:
        """Note that this process has begun, in a place on its machine."""
        self._leave(f"begun-{local_rank}-{os.getpid()}")

    def end_well(self, local_rank: int) -> None:
        """Note that this process was asked to end, and does so in good order."""
        self._leave(f"well-{local_rank}-{os.getpid()}")

    def ended_well(self) -> bool:
        """Return whether the process that began last in each place of the machine has ended in good order.

        Earlier ones were replaced: after a failure, or when another machine joined or left.
        """
        begun, well = self._noted("begun"), self._noted("well")
        last = {local_rank: pid for _, local_rank, pid in sorted(begun)}
        return set(last.items()) <= {(local_rank, pid) for _, local_rank, pid in well}

    def _noted(self, what: str) -> list[tuple[int, int, int]]:
        """Return when, in which place and by which process something was noted; by the machine's monotonic clock."""
        paths = [(path, path.name.rsplit("-", 2)) for path in self._place.glob(f"{self._name}-{what}-*")]
        return [(int(path.read_text(encoding="ascii") or 0), int(place), int(pid)) for path, (_, place, pid) in paths]

    def accuse(self, ranks: Iterable[int], attempt: int) -> None:
        """Note that processes did not arrive at an exchange. They may be those of any machine."""
        self._place.mkdir(parents=True, exist_ok=True)
        for rank in ranks:
            (self._place / f"late-{attempt}-{rank}").touch()

    def late(self) -> Late:
        """Return what is noted now on processes that did not arrive: `accused` tells later ones from these."""
        return {path.name: path.stat().st_mtime_ns for path in self._place.glob("late-*")}

    def accused(self, before: Late) -> set[tuple[str, str]]:
        """Return attempt and rank of the processes that did not arrive, as far as it was noted since `before`.

        No clock is asked: those of the machines that share the folder may differ, or be set.
        """
        return {
            (parts[1], parts[2])
            for name, made in self.late().items()
            if len(parts := name.split("-")) == 3 and before.get(name) != made
        }

    def _leave(self, what: str) -> None:
        self._place.mkdir(parents=True, exist_ok=True)
        (self._place / f"{self._name}-{what}").write_text(str(time.monotonic_ns()), encoding="ascii")
