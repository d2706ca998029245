"""Jobs on this machine, run by torchrun in processes that end with whoever submitted them."""

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from components.errors import ConfigError
from components.launch.job import ERROR_LOG_FILE, LOG_FILE, Job, JobState, Launcher
from components.launch.notices import forget_earlier
from components.launch.processes import descendants, kill_all
from components.launch.spec import LaunchSpec
from components.launch.supervisor import ENDED_FILE

SPEC_FILE = "launch.json"
FOLLOW_S = 0.1
SUPERVISOR_S = 15.0
"""How long the supervisor may take beyond the job's own grace."""


class LocalLauncher(Launcher):
    """Runs jobs on one machine."""

    def submit(self, spec: LaunchSpec) -> "LocalJob":
        """Start the job. Its folder is made where it is missing; what an earlier job left in it is replaced.

        Raises:
            ConfigError: the job asks for several machines.
        """
        if (spec.nodes_min, spec.nodes_max) != (1, 1):
            raise ConfigError(
                f"A local launcher has one machine. Got nodes {spec.nodes_min} to {spec.nodes_max}; expected 1 to 1. "
                "Use a cluster's launcher, or ask for one node with more processes."
            )
        place = spec.place
        place.mkdir(parents=True, exist_ok=True)
        forget_earlier(place)
        (place / ENDED_FILE).unlink(missing_ok=True)
        path = place / SPEC_FILE
        path.write_text(spec.to_json(), encoding="utf-8")
        with (place / LOG_FILE).open("wb") as log, (place / ERROR_LOG_FILE).open("wb") as error_log:
            supervisor = subprocess.Popen(
                [sys.executable, "-m", "components.launch.supervisor", str(path)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=error_log,
                start_new_session=True,
            )
        return LocalJob(spec, supervisor)


class LocalJob(Job):
    """A job of this machine. It ends with the process that submitted it.

    Args:
        spec: the job.
        supervisor: the process that watches over it.
    """

    def __init__(self, spec: LaunchSpec, supervisor: "subprocess.Popen[bytes]") -> None:
        self.spec = spec
        self._supervisor = supervisor

    @property
    def log_path(self) -> Path:
        """Return the file that all processes print to; standard error has one of its own."""
        return self.spec.place / LOG_FILE

    def poll(self) -> JobState:
        """Return where the job is, without waiting."""
        if self._supervisor.poll() is None:
            return JobState.RUNNING
        if self._supervisor.stdin is not None:
            self._supervisor.stdin.close()
        try:
            return JobState(json.loads((self.spec.place / ENDED_FILE).read_text(encoding="utf-8"))["state"])
        except (OSError, ValueError, KeyError):
            return JobState.FAILED  # the supervisor itself was killed; its processes died with it

    def wait(self, timeout_s: float | None = None) -> JobState:
        """Wait for the end and return how it ended; the state so far when `timeout_s` passes first."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._supervisor.wait(timeout_s)
        return self.poll()

    def preempt(self) -> None:
        """Give notice: the processes get SIGTERM and `grace_s` to save. The job then ends as preempted."""
        if self._supervisor.poll() is None:
            self._supervisor.terminate()

    def cancel(self) -> None:
        """Stop every process of the job and return when none is left. An ended job stays as it is."""
        below = descendants(self._supervisor.pid)
        if self._supervisor.poll() is None:
            self._supervisor.send_signal(signal.SIGINT)
            try:
                self._supervisor.wait(self.spec.grace_s + SUPERVISOR_S)
            except subprocess.TimeoutExpired:
                self._supervisor.kill()
                self._supervisor.wait()
                kill_all(below)
        self.poll()

    def logs(self, *, follow: bool = False) -> Iterator[str]:
        """Yield the lines of standard output so far; with `follow` also those to come, until the job has ended."""
        rest = ""
        with self.log_path.open(encoding="utf-8", errors="replace") as stream:
            while True:
                is_over = not follow or self.poll().is_final
                while text := stream.readline():
                    rest += text
                    if rest.endswith("\n"):
                        yield rest.rstrip("\n")
                        rest = ""
                if is_over:
                    break
                time.sleep(FOLLOW_S)
        if rest:
            yield rest
