"""Jobs of this machine: followed, explained, restarted, and never left behind."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from components.launch.job import JobState
from components.launch.local import LocalJob, LocalLauncher
from components.launch.spec import LaunchSpec

ROOT = Path(__file__).resolve().parents[3]
pytestmark = [pytest.mark.multiprocess, pytest.mark.slow]


def make_spec(
    folder: Path, *args: str, restarts: int = 0, timeout_s: float = 120.0, grace_s: float = 10.0
) -> LaunchSpec:
    pids = folder / "pids"
    pids.mkdir(parents=True, exist_ok=True)
    return LaunchSpec(
        module="tests.components.launch.rank_job",
        folder=str(folder / "job"),
        args=args,
        processes_per_node=2,
        max_restarts=restarts,
        env={
            "JOB_PIDS": str(pids),
            "JOB_WORD": "hello",
            "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "0",
            "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        },
        timeout_s=timeout_s,
        grace_s=grace_s,
    )


def started(folder: Path, spec: LaunchSpec) -> tuple[LocalJob, list[psutil.Process]]:
    """Submit a stubborn job and return it with all processes that its ranks made."""
    job = LocalLauncher().submit(spec)
    return job, noted(folder)


def noted(folder: Path) -> list[psutil.Process]:
    until_s = time.monotonic() + 60
    while len(found := list((folder / "pids").iterdir())) < 4:
        assert time.monotonic() < until_s, (folder / "job" / "launch.log").read_text()
        time.sleep(0.05)
    return [psutil.Process(int(path.name)) for path in found]


def all_gone(processes: list[psutil.Process], within_s: float = 10.0) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=within_s)
    return not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE]


def test_a_job_prints_and_ends(tmp_path: Path) -> None:
    job = LocalLauncher().submit(make_spec(tmp_path, "print"))
    lines = list(job.logs(follow=True))
    assert job.wait(10) is JobState.SUCCEEDED
    assert {f"rank {rank} of 2, attempt 0: hello" for rank in (0, 1)} <= set(lines)
    # Without it, processes that are begun again read the addresses of those that died (pytorch #135712).
    assert {f"rank {rank} of 2, attempt 0: fresh store 1" for rank in (0, 1)} <= set(lines)
    assert {f"rank {rank} of 2, attempt 0: waits 300 s" for rank in (0, 1)} <= set(lines)
    assert list(job.logs()) == lines
    assert job.failure() is None
    job.cancel()
    assert job.poll() is JobState.SUCCEEDED


@pytest.mark.parametrize(("mode", "rank", "kind", "detail"), [
    ("raise", 1, "ZeroDivisionError", "in raise_here"),
    ("exit", 0, "SystemExit", "exit code 7"),
    ("abort", 1, "ZeroDivisionError", "in raise_here"),
    ("raise-together", 1, "ZeroDivisionError", "rank 1 divided by zero"),
    ("kill-together", 0, "SIGKILL", "was killed by SIGKILL"),
])  # fmt: skip
def test_the_process_that_failed_first_is_named(tmp_path: Path, mode: str, rank: int, kind: str, detail: str) -> None:
    job = LocalLauncher().submit(make_spec(tmp_path, mode, str(rank)))
    assert job.wait(120) is JobState.FAILED
    failure = job.failure()
    assert failure is not None
    assert (failure.rank, failure.kind, failure.attempt) == (rank, kind, 0)
    assert detail in failure.detail


def test_after_a_kill_all_processes_begin_again(tmp_path: Path) -> None:
    job = LocalLauncher().submit(make_spec(tmp_path, "kill-once", "1", restarts=1))
    assert job.wait(120) is JobState.SUCCEEDED
    assert {f"rank {rank} of 2, attempt 1: done" for rank in (0, 1)} <= set(job.logs())


def test_a_job_over_its_time_is_stopped(tmp_path: Path) -> None:
    job, processes = started(tmp_path, make_spec(tmp_path, "stubborn", timeout_s=8, grace_s=0.5))
    assert job.wait(60) is JobState.TIMED_OUT
    assert all_gone(processes)


@pytest.mark.parametrize(("mode", "state"), [("end-together", JobState.PREEMPTED), ("end-alone", JobState.CANCELLED)])
def test_a_process_that_ends_apart_from_the_others_has_not_made_room(
    tmp_path: Path, mode: str, state: JobState
) -> None:
    job = LocalLauncher().submit(make_spec(tmp_path, mode, "1"))
    until_s = time.monotonic() + 60
    while not {f"rank {rank} of 2, attempt 0: started" for rank in (0, 1)} <= set(job.logs()):
        assert time.monotonic() < until_s
        time.sleep(0.05)
    job.preempt()
    assert job.wait(60) is state


def test_cancelling_leaves_no_process(tmp_path: Path) -> None:
    job, processes = started(tmp_path, make_spec(tmp_path, "stubborn", grace_s=0.5))
    assert job.poll() is JobState.RUNNING
    job.cancel()
    assert job.poll() is JobState.CANCELLED
    assert all_gone(processes, 0.5)


def test_the_death_of_the_submitter_leaves_no_process(tmp_path: Path) -> None:
    die(tmp_path, "submitter")


def test_the_death_of_the_supervisor_leaves_no_rank(tmp_path: Path) -> None:
    job, processes = started(tmp_path, make_spec(tmp_path, "stubborn"))
    ranks = [process for process in processes if "rank_job" in " ".join(process.cmdline())]
    children = [process for process in processes if process not in ranks]
    psutil.Process(job._supervisor.pid).kill()
    try:
        assert all_gone(ranks)
        assert job.poll() is JobState.FAILED
    finally:
        for child in children:  # a rank's own children are the rank's to watch
            child.kill()


def die(folder: Path, who: str) -> None:
    """Kill the submitter, or cancel, and find no process after ten seconds."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "spec.json"
    path.write_text(make_spec(folder, "stubborn", grace_s=0.5).to_json())
    with subprocess.Popen(
        [sys.executable, "-m", "tests.components.launch.submitter", str(path)], cwd=ROOT
    ) as submitter:
        processes = noted(folder)
        everything = [*processes, *psutil.Process(submitter.pid).children(recursive=True)]
        submitter.send_signal(signal.SIGKILL)
    assert all_gone(everything), who


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_fifty_ends_leave_no_process(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"\nseed {seed}")
    dice = random.Random(seed)
    for trial in range(50):
        folder = tmp_path / str(trial)
        if dice.random() < 0.5:
            die(folder, f"trial {trial}")
            continue
        job, processes = started(folder, make_spec(folder, "stubborn", grace_s=0.5))
        time.sleep(dice.random())
        job.cancel()
        assert all_gone(processes, 10), f"trial {trial}"


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_twenty_failures_are_named(tmp_path: Path) -> None:
    for trial in range(20):
        mode, rank = ("raise-together", "kill-together")[trial % 2], trial // 2 % 2
        job = LocalLauncher().submit(make_spec(tmp_path / str(trial), mode, str(rank)))
        assert job.wait(120) is JobState.FAILED
        failure = job.failure()
        assert failure is not None
        assert (failure.rank, failure.kind) == (rank, "SIGKILL" if trial % 2 else "ZeroDivisionError"), f"trial {trial}"
