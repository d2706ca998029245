"""The training process: its failures are told, and it never outlives its parent."""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from components.errors import TrainingFailedError
from components.train.job import LOCK_FILE, Job, Result
from components.train.launcher import run_job

ROOT = Path(__file__).resolve().parents[3]


def job(tmp_path: Path, body: str, monkeypatch: pytest.MonkeyPatch) -> Job:
    """Return a job whose application does what `body` says when it is imported by the child."""
    package = tmp_path / "path" / "made_up"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "app.py").write_text(body)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "path"), str(ROOT)]))
    folder = tmp_path / "job"
    folder.mkdir()
    return Job(package="made_up", dataset=str(tmp_path), folder=str(folder), config={})


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # a killed child whose parent is gone stays a zombie until somebody reaps it
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def wait_for(condition: object, seconds: float) -> bool:
    assert callable(condition)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


@pytest.mark.slow
@pytest.mark.multiprocess
def test_a_failing_training_is_told_with_the_end_of_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = job(tmp_path, "raise RuntimeError('the graphics card is on fire')", monkeypatch)
    with pytest.raises(TrainingFailedError, match=r"exit code 1(?s:.)*the graphics card is on fire"):
        run_job(broken, lambda line: None)


@pytest.mark.slow
@pytest.mark.multiprocess
def test_a_killed_training_is_told_by_its_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed = job(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)", monkeypatch)
    with pytest.raises(TrainingFailedError, match="was killed by SIGKILL"):
        run_job(killed, lambda line: None)


@pytest.mark.slow
@pytest.mark.multiprocess
def test_the_training_dies_with_its_parent_even_when_that_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = (
        "import os, pathlib, subprocess, sys, time\n"
        "grandchild = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"pathlib.Path({str(tmp_path)!r}, 'pids').write_text(f'{{os.getpid()}} {{grandchild.pid}}')\n"
        "time.sleep(600)\n"
    )
    sleeping = job(tmp_path, body, monkeypatch)
    sleeping.write()
    script = (
        "from pathlib import Path\n"
        "from components.train.job import Job\n"
        "from components.train.launcher import run_job\n"
        f"run_job(Job.read(Path({sleeping.folder!r}, 'job.json')), print)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, start_new_session=True)
    pids: list[int] = []
    try:
        assert wait_for(lambda: (tmp_path / "pids").exists() and (tmp_path / "pids").read_text().count(" "), 60)
        pids = [int(p) for p in (tmp_path / "pids").read_text().split()]
        parent.kill()
        parent.wait()
        assert wait_for(lambda: not any(alive(p) for p in pids), 10), "the training outlived its parent"
    finally:
        for pid in (parent.pid, *pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.multiprocess
def test_a_training_waits_for_one_that_is_still_ending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    second = job(tmp_path, "raise RuntimeError('it is its turn')", monkeypatch)
    earlier = (Path(second.folder) / LOCK_FILE).open("w")
    fcntl.flock(earlier, fcntl.LOCK_EX)
    said: list[str] = []

    def say(line: str) -> None:
        said.append(line)
        earlier.close()

    with earlier, pytest.raises(TrainingFailedError, match="it is its turn"):
        run_job(second, say)
    assert said == ["an earlier training process of this job is still ending; waiting for it"]


def test_a_finished_job_is_not_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finished = job(tmp_path, "raise SystemExit('must not run')", monkeypatch)
    result = Result(epochs=2, optimizer_steps=8, parameters=3, best_metric="valid_auc", best_value=0.7)
    result.write(Path(finished.folder))
    assert run_job(finished, lambda line: None) == result


def test_a_half_written_result_is_none(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text('{"epochs": 2,')
    assert Result.read(tmp_path) is None


def test_checkpoints_of_a_moved_store_are_not_gone_on_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = job(tmp_path, "raise SystemExit('stopped before training')", monkeypatch)
    checkpoints = Path(moved.folder) / "checkpoints"
    checkpoints.mkdir()
    for before, stays in ((moved.folder, True), ("/another/place", False)):
        Job(package="made_up", dataset="d", folder=moved.folder, config={}).write()
        body = (Path(moved.folder) / "job.json").read_text().replace(moved.folder, before)
        (Path(moved.folder) / "job.json").write_text(body)
        with pytest.raises(TrainingFailedError):
            run_job(moved, lambda line: None)
        assert checkpoints.exists() is stays
