"""Starts training in processes of its own, passes its progress on, and never leaves one behind.

Whoever starts a process can always stop it: the group is killed when the caller fails or is interrupted, and the child
ends itself when its parent dies (it reads a pipe that closes then), even by SIGKILL. Several processes are a job of
`components.launch`: torchrun begins them again from the last checkpoint when one of them dies.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from components.errors import TrainingFailedError, TrainingPreemptedError
from components.launch.job import ERROR_LOG_FILE, PREEMPTED_CODE, JobState
from components.launch.local import LocalLauncher
from components.launch.spec import LaunchSpec
from components.train.endings import ending
from components.train.job import JOB_FILE, LOG_FILE, Job, Result

GRACE_S = 10.0
"""How long a stopped training may take to write its last checkpoint."""
TAIL_LINES = 20
MAX_RESTARTS = 3
"""How often several processes are begun again after one of them died."""


def run_job(job: Job, say: Callable[[str], None]) -> Result:
    """Run the job in a child process and return its result; a job that has one already is not run again.

    Args:
        job: what to train.
        say: called with each line of progress that the child prints.

    Raises:
        TrainingFailedError: the process ended without a result; the message holds the end of its log.
    """
    folder = Path(job.folder)
    done = Result.read(folder)
    if done is not None:
        say("training had finished already; its result was not recorded yet")
        return done
    _forget_other_places(job)
    job.write()
    if int(job.config.get("devices", 1)) > 1:
        _run_several(job, say)
    else:
        _run_one(job, say)
    result = Result.read(folder)
    if result is None:
        raise TrainingFailedError(
            f"The training process ended and left no result. The end of its log:\n{_tail(folder / LOG_FILE)}"
        )
    return result


def _run_several(job: Job, say: Callable[[str], None]) -> None:
    """Train in several processes, each of which may die a few times.

    Raises:
        TrainingFailedError: they ended without success; the message holds what the first of them said.
    """
    folder = Path(job.folder)
    spec = LaunchSpec(
        module="components.train",
        args=(str(folder / JOB_FILE),),
        folder=str(folder / "launch"),
        processes_per_node=int(job.config["devices"]),
        max_restarts=MAX_RESTARTS,
        grace_s=GRACE_S,
    )
    launched = LocalLauncher().submit(spec)
    try:
        for line in launched.logs(follow=True):
            say(line)
        state = launched.wait()
    finally:
        launched.cancel()
    if state is JobState.SUCCEEDED or (state is JobState.PREEMPTED and Result.read(folder) is not None):
        return
    if state is JobState.PREEMPTED:
        raise _made_room()
    first = launched.failure()
    if first is None:
        raise TrainingFailedError(
            f"Training in {spec.processes_per_node} processes ended: {state}. Run the same command again: it goes on "
            f"from the last checkpoint. The end of the log:\n{_tail(folder / 'launch' / ERROR_LOG_FILE)}"
        )
    told = ending(-signal.Signals[first.kind]) if first.kind in signal.Signals.__members__ else "failed first."
    detail = "\n".join(first.detail.splitlines()[-TAIL_LINES:])
    raise TrainingFailedError(
        f"Training process {first.rank} of {spec.processes_per_node} {told} All had been begun again {first.attempt} "
        f"time(s). What it left:\n{detail}"
    )


def _run_one(job: Job, say: Callable[[str], None]) -> None:
    """Train in one process.

    Raises:
        TrainingFailedError: it failed; the message holds the end of its log.
    """
    folder = Path(job.folder)
    log = folder / LOG_FILE
    with log.open("ab") as stderr:
        child = subprocess.Popen(
            [sys.executable, "-m", "components.train", str(folder / JOB_FILE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
            env={**os.environ, "OMP_WAIT_POLICY": "passive", "PYTHONUNBUFFERED": "1"},
        )
        try:
            assert child.stdout is not None  # it was asked for above
            for line in child.stdout:
                say(line.rstrip("\n"))
            code = child.wait()
        finally:
            _stop(child)
    if code == PREEMPTED_CODE:
        raise _made_room()
    if code != 0 or Result.read(folder) is None:
        raise TrainingFailedError(f"The training process {ending(code)} The end of its log:\n{_tail(log)}")


def _made_room() -> TrainingPreemptedError:
    return TrainingPreemptedError(
        "Training was asked to make room. It has saved after its last batch and ended; nothing is lost. Run the same "
        "command again: it goes on from there."
    )


def _forget_other_places(job: Job) -> None:
    """Delete checkpoints that were written under another path: they name their best model by it."""
    try:
        before = Job.read(Path(job.folder) / JOB_FILE)
    except (FileNotFoundError, ValueError, TypeError):
        return
    if before.folder != job.folder:
        shutil.rmtree(Path(job.folder) / "checkpoints", ignore_errors=True)


def _stop(child: "subprocess.Popen[str]") -> None:
    """End the child's whole group: politely first, so that it can save, then for good."""
    if child.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    for stream in (child.stdin, child.stdout):
        if stream is not None:
            stream.close()


def _tail(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "(it is gone)"
    return "\n".join(lines[-TAIL_LINES:])
