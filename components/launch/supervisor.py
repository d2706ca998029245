"""Watches over one job: `python -m components.launch.supervisor SPEC.json`.

Stops the job's processes when asked to (SIGTERM gives them notice, SIGINT cancels the job), when its time is over, and
when the process that submitted it dies: that one holds this one's standard input open for as long as it lives. Ends
when no process of the job is left, with `ended.json` written last.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from components.launch.job import PREEMPTED_CODE, JobState
from components.launch.notices import Notices
from components.launch.processes import descendants, kill_all, members_of
from components.launch.spec import LaunchSpec

ENDED_FILE = "ended.json"
POLL_S = 0.1
ALWAYS = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
"""Restarted processes must not read the addresses of the attempt that died (pytorch #135712), whatever others say."""


class Supervisor:
    """One job's processes, and why they are to end.

    Args:
        spec: the job.
        path: its file, which torchrun reads.
        options: of `components.launch.elastic`, beside the file.
        interface: network interface for tensors; None lets the back ends choose.
        follows_parent: whether the job ends when standard input closes.
    """

    def __init__(
        self,
        spec: LaunchSpec,
        path: Path,
        *,
        options: Sequence[str] = (),
        interface: str | None = None,
        follows_parent: bool = True,
    ) -> None:
        self._spec = spec
        self._path = path
        self._options = options
        self._interface = interface
        self._follows_parent = follows_parent
        self._reason: JobState | None = None
        self._asked = threading.Event()
        self._seen: dict[int, psutil.Process] = {}
        self._groups: set[int] = set()
        self._notices = Notices(spec.place)
        self._late_before = self._notices.late()
        self._late: set[tuple[str, str]] = set()

    def run(self) -> JobState:
        """Run the job to its end and return how it ended."""
        signal.signal(signal.SIGTERM, lambda *_: self._stop(JobState.PREEMPTED))
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: self._stop(JobState.CANCELLED))
        if self._follows_parent:
            threading.Thread(target=self._end_with_parent, daemon=True).start()
        engine = subprocess.Popen(
            [sys.executable, "-m", "components.launch.elastic", str(self._path), *self._options],
            stdin=subprocess.DEVNULL,
            env=self._environment(),
            start_new_session=True,
        )
        deadline_s = None if self._spec.timeout_s is None else time.monotonic() + self._spec.timeout_s
        while engine.poll() is None and not self._asked.wait(POLL_S):
            self._look_at(engine.pid)
            self._kill_the_late()
            if deadline_s is not None and time.monotonic() > deadline_s:
                self._stop(JobState.TIMED_OUT)
        self._end(engine)
        if self._reason is JobState.PREEMPTED:
            return self._after_notice(engine)
        if self._reason is not None:
            return self._reason
        return {0: JobState.SUCCEEDED, PREEMPTED_CODE: JobState.PREEMPTED}.get(engine.returncode, JobState.FAILED)

    def _after_notice(self, engine: "subprocess.Popen[bytes]") -> JobState:
        """Return how a job ended that was given notice."""
        if engine.returncode == 0:
            return JobState.SUCCEEDED  # it was done already
        # torchrun that is still on its way in has no handler of signals, and no process that could lose anything.
        is_early = engine.returncode == -signal.SIGTERM and Notices(self._spec.place, engine.pid).ended_well()
        # Otherwise some process did not end in good order.
        return JobState.PREEMPTED if is_early or engine.returncode == PREEMPTED_CODE else JobState.CANCELLED

    def _environment(self) -> dict[str, str]:
        usual = {
            "OMP_NUM_THREADS": "1",
            "OMP_WAIT_POLICY": "passive",
            "PYTHONFAULTHANDLER": "1",
            "PYTHONUNBUFFERED": "1",
        }
        asked = {"TRAINER_TIMEOUT_S": f"{self._spec.exchange_timeout_s:g}"}
        if self._interface is not None:
            asked |= {"GLOO_SOCKET_IFNAME": self._interface, "NCCL_SOCKET_IFNAME": self._interface}
        return {**usual, **os.environ, **asked, **self._spec.env, **ALWAYS}

    def _end_with_parent(self) -> None:
        while os.read(0, 1):
            pass
        self._stop(JobState.CANCELLED)

    def _stop(self, reason: JobState) -> None:
        self._reason = self._reason or reason
        self._asked.set()

    def _look_at(self, engine: int) -> None:
        """Remember the job's processes: an orphan cannot be found from its parent any more."""
        for process in descendants(engine):
            if process.pid not in self._seen:
                self._seen[process.pid] = process
                self._groups.add(process.pid)

    def _kill_the_late(self) -> None:
        """Kill processes that others wait for in vain: torchrun would ask them to end, and wait for half a minute."""
        accused = self._notices.accused(self._late_before) - self._late
        for process in self._seen.values() if accused else ():
            with contextlib.suppress(psutil.Error):
                own = process.environ()
                if (own.get("TORCHELASTIC_RESTART_COUNT"), own.get("RANK")) in accused:
                    process.kill()
        self._late |= accused

    def _end(self, engine: "subprocess.Popen[bytes]") -> None:
        """End what is left: politely first, so that it can save, then for good."""
        if engine.poll() is None:
            self._look_at(engine.pid)
            engine.terminate()  # torchrun passes it on and waits for its processes
            try:
                engine.wait(self._spec.grace_s)
            except subprocess.TimeoutExpired:
                self._look_at(engine.pid)
                kill_all([*self._seen.values()])
                engine.kill()
        engine.wait()
        kill_all([*self._seen.values(), *members_of(self._groups)])


def main() -> None:
    """Run the job of the file that the command line names."""
    path = Path(sys.argv[1])
    spec = LaunchSpec.from_json(path.read_text(encoding="utf-8"))
    state = Supervisor(spec, path).run()
    part = spec.place / f".{ENDED_FILE}.part"
    part.write_text(json.dumps({"state": state}), encoding="utf-8")
    part.replace(spec.place / ENDED_FILE)


if __name__ == "__main__":
    main()
