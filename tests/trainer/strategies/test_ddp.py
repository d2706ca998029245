"""Several processes: the numbers of one, quick failures, nothing left behind."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.scripts import ranks_of, run_script

ROOT = Path(__file__).parents[3]
JOBS = Path(__file__).with_name("ddp_jobs.py")

pytestmark = pytest.mark.multiprocess


def run_job(job: str, folder: Path, devices: int = 2, torchrun: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a job in `devices` processes, started by our launcher or by torchrun."""
    folder.mkdir(exist_ok=True)
    return run_script(JOBS, job, str(folder), devices=devices, torchrun=torchrun)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("alone")
    process = run_job("train", folder, devices=1)
    assert process.returncode == 0, process.stderr
    return ranks_of(folder)[0]


@pytest.mark.parametrize("torchrun", [False, True])
def test_two_processes_have_the_losses_of_one(tmp_path: Path, alone: dict[str, Any], torchrun: bool) -> None:
    process = run_job("train", tmp_path, torchrun=torchrun)
    assert process.returncode == 0, process.stderr
    ranks = ranks_of(tmp_path)
    assert [rank["world_size"] for rank in ranks] == [2, 2]
    for rank in ranks:
        assert rank["losses"] == pytest.approx(alone["losses"], abs=1e-6)
        assert rank["weights"] == pytest.approx(alone["weights"], abs=1e-6)
        # 13 samples, split into 7 and 6 without repetition: the metric is exact
        assert rank["validated"][0]["val_loss"] == pytest.approx(alone["validated"][0]["val_loss"], abs=1e-6)
        for name, value in alone["metrics"].items():
            assert rank["metrics"][name] == pytest.approx(value, abs=1e-6), name


@pytest.mark.parametrize("job", ["accumulate", "manual"])
def test_other_ways_to_step_have_the_losses_of_one_process(tmp_path: Path, job: str) -> None:
    for devices in (1, 2):
        process = run_job(job, tmp_path / str(devices), devices=devices)
        assert process.returncode == 0, process.stderr
    one, two = ranks_of(tmp_path / "1")[0], ranks_of(tmp_path / "2")[0]
    assert two["losses"] == pytest.approx(one["losses"], abs=1e-6)


@pytest.mark.parametrize(
    ("job", "message"), [("fail", "divides by zero"), ("fail_outside", "fails before it connects")]
)
def test_a_failing_rank_ends_the_run_with_its_traceback(tmp_path: Path, job: str, message: str) -> None:
    started = time.monotonic()
    process = run_job(job, tmp_path)
    assert process.returncode != 0
    assert time.monotonic() - started < 40
    assert "Rank 1 failed first" in process.stderr
    assert f"ZeroDivisionError: rank one {message}" in process.stderr


def test_a_failing_rank_zero_leaves_no_process_behind(tmp_path: Path) -> None:
    process = run_job("fail_first", tmp_path)
    assert process.returncode != 0
    assert "rank zero divides by zero" in process.stderr
    child = int((tmp_path / "pid-1").read_text())
    status = Path(f"/proc/{child}/status")
    assert not status.exists() or "Z (zombie)" in status.read_text()


@pytest.mark.parametrize(
    ("job", "message"),
    [
        ("uneven", "different numbers of training batches"),
        ("uneven_stream", "ran out of training batches"),
        ("lonely_object", "Metric objects have to be logged on every process"),
    ],
)
def test_uneven_batches_are_refused_before_anybody_waits(tmp_path: Path, job: str, message: str) -> None:
    process = run_job(job, tmp_path)
    assert process.returncode != 0
    assert message in process.stderr


def test_a_process_without_validation_batches_takes_part(tmp_path: Path) -> None:
    process = run_job("lonely_validation", tmp_path)
    assert process.returncode == 0, process.stderr
    ranks = ranks_of(tmp_path)
    assert len(ranks) == 2
    for rank in ranks:
        assert rank["hooks"] == ["epoch_end"] * 3  # the sanity check and two epochs
        assert rank["metrics"]["val_loss"] == pytest.approx(rank["expected"])
        assert rank["metrics"]["seen"] == 2.0
        assert {"val_loss", "val_loss_epoch"} & set(rank["bar"])


def test_loaders_that_split_themselves_are_left_alone(tmp_path: Path) -> None:
    process = run_job("own_split", tmp_path)
    assert process.returncode == 0, process.stderr
    assert [len(rank["losses"]) for rank in ranks_of(tmp_path)] == [4, 4]


def test_a_resume_restores_every_process(tmp_path: Path) -> None:
    process = run_job("resume", tmp_path)
    assert process.returncode == 0, process.stderr
    assert [all(rank["equal"]) for rank in ranks_of(tmp_path)] == [True, True]


def test_sigterm_ends_all_processes_after_the_same_batch(tmp_path: Path) -> None:
    process = run_job("terminate", tmp_path)
    assert process.returncode == 143, process.stderr
    notes = [path.read_text() for path in sorted(tmp_path.glob("ended-*"))]
    assert notes == ["SIGTERMException 3"] * 2


def test_a_step_value_that_one_process_alone_logs_stops_nobody(tmp_path: Path) -> None:
    process = run_job("lonely", tmp_path)
    assert process.returncode == 0, process.stderr
    assert ranks_of(tmp_path)[0]["rare"] == [7.0, 7.0]  # the newest value of the epoch, in the rows from then on
