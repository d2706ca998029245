"""The seam between a flow and whatever runs its training: a launcher submits, and a job is followed or cancelled."""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

from components.launch.spec import LaunchSpec

LOG_FILE = "launch.log"
"""What the processes print."""
ERROR_LOG_FILE = "launch.err"
"""What they, and torchrun, write to standard error."""
ERRORS = "errors"
PREEMPTED_CODE = 143
"""Exit code of a process that was asked to end (SIGTERM, 15) and did so in good order: 128 + 15, as shells have it."""


class JobState(StrEnum):
    """Where a job is."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    PREEMPTED = "preempted"
    """Asked to make room, it saved and ended; the same job submitted again goes on."""
    TIMED_OUT = "timed out"

    @property
    def is_final(self) -> bool:
        """Return whether nothing more will happen."""
        return self is not JobState.RUNNING


@dataclass(frozen=True, slots=True, kw_only=True)
class RankFailure:
    """How one process of a job failed."""

    rank: int
    """-1 for what starts the processes of a machine."""
    attempt: int
    """0 for the first start of all processes, 1 after the first restart."""
    time_s: float
    """Seconds since 1970 at which it was noted."""
    kind: str
    """Name of the exception, or of the signal that killed the process."""
    detail: str
    """The traceback, or what is known of a process that left none."""

    def write(self, folder: Path) -> None:
        """Write it beside the other processes' failures, in one step."""
        place = folder / ERRORS
        place.mkdir(parents=True, exist_ok=True)
        part = place / f".{os.getpid()}.part"
        part.write_text(json.dumps(asdict(self)), encoding="utf-8")
        part.replace(place / f"attempt-{self.attempt}-rank-{self.rank}-{os.getpid()}.json")

    @staticmethod
    def is_noted(folder: Path, attempt: int, rank: int) -> bool:
        """Return whether the process has told itself how it failed."""
        return any((folder / ERRORS).glob(f"attempt-{attempt}-rank-{rank}-*.json"))

    @classmethod
    def first(cls, folder: Path) -> Self | None:
        """Return what failed first in the last attempt that has failures; later ones follow from it."""
        found: list[Self] = []
        for path in sorted((folder / ERRORS).glob("attempt-*.json")):
            try:
                found.append(cls(**json.loads(path.read_text(encoding="utf-8"))))
            except (ValueError, TypeError):
                continue
        if not found:
            return None
        last = max(failure.attempt for failure in found)
        return min((f for f in found if f.attempt == last), key=lambda failure: failure.time_s)


class Job(ABC):
    """A job that was submitted."""

    spec: LaunchSpec

    @abstractmethod
    def poll(self) -> JobState:
        """Return where the job is, without waiting."""

    @abstractmethod
    def wait(self, timeout_s: float | None = None) -> JobState:
        """Wait for the end and return how it ended; the state so far when `timeout_s` passes first."""

    @abstractmethod
    def preempt(self) -> None:
        """Give notice: the processes get SIGTERM and `grace_s` to save. The job then ends as preempted."""

    @abstractmethod
    def cancel(self) -> None:
        """Stop every process of the job and return when none is left. An ended job stays as it is."""

    @abstractmethod
    def logs(self, *, follow: bool = False) -> Iterator[str]:
        """Yield the lines of standard output so far; with `follow` also those to come, until the job has ended."""

    def failure(self) -> RankFailure | None:
        """Return what made the job fail: the process that failed first, with its traceback. None where it did not."""
        if self.poll() is not JobState.FAILED:
            return None
        return RankFailure.first(self.spec.place)


class Launcher(ABC):
    """Something that runs jobs: this machine, or a cluster."""

    @abstractmethod
    def submit(self, spec: LaunchSpec) -> Job:
        """Start the job and return at once.

        Raises:
            ConfigError: this launcher cannot run such a job.
        """
