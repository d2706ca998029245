"""Several processes: the numbers of one, quick failures, nothing left behind."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.trainer.scripts import Ranks, ended_well, ranks_of, run_script

ROOT = Path(__file__).parents[3]
JOBS = Path(__file__).with_name("ddp_jobs.py")

pytestmark = pytest.mark.multiprocess


def run_job(job: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a job in two processes, started by our launcher; it works in a folder of its own name."""
    return run_script(JOBS, job, str(folder), devices=2)


def results_of(folder: Path, *jobs: str, devices: int = 2, torchrun: bool = False) -> dict[str, Ranks]:
    """Return what the processes left of each of several jobs, one after the other in the same processes."""
    ended_well(run_script(JOBS, ",".join(jobs), str(folder), devices=devices, torchrun=torchrun))
    return {job: ranks_of(folder / job) for job in jobs}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ranks]:
    return results_of(tmp_path_factory.mktemp("alone"), "train", "accumulate", "manual", devices=1)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ranks]:
    jobs = ("train", "accumulate", "manual", "lonely_validation", "own_split", "resume", "lonely")
    return results_of(tmp_path_factory.mktemp("two"), *jobs)


@pytest.mark.parametrize("torchrun", [False, True])
def test_two_processes_have_the_losses_of_one(
    tmp_path: Path, alone: dict[str, Ranks], two: dict[str, Ranks], torchrun: bool
) -> None:
    [expected] = alone["train"]
    ranks = results_of(tmp_path, "train", torchrun=True)["train"] if torchrun else two["train"]
    assert [rank["world_size"] for rank in ranks] == [2, 2]
    for rank in ranks:
        assert rank["losses"] == pytest.approx(expected["losses"], abs=1e-6)
        assert rank["weights"] == pytest.approx(expected["weights"], abs=1e-6)
        # 13 samples, split into 7 and 6 without repetition: the metric is exact
        assert rank["validated"][0]["val_loss"] == pytest.approx(expected["validated"][0]["val_loss"], abs=1e-6)
        for name, value in expected["metrics"].items():
            assert rank["metrics"][name] == pytest.approx(value, abs=1e-6), name


@pytest.mark.parametrize("job", ["accumulate", "manual"])
def test_other_ways_to_step_have_the_losses_of_one_process(
    alone: dict[str, Ranks], two: dict[str, Ranks], job: str
) -> None:
    assert two[job][0]["losses"] == pytest.approx(alone[job][0]["losses"], abs=1e-6)


@pytest.mark.parametrize(
    ("job", "message"),
    [("fail", "divides by zero"), pytest.param("fail_outside", "fails before it connects", marks=pytest.mark.soak)],
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
    child = int((tmp_path / "fail_first" / "pid-1").read_text())
    status = Path(f"/proc/{child}/status")
    assert not status.exists() or "Z (zombie)" in status.read_text()


@pytest.mark.parametrize(
    ("job", "message"),
    [
        ("uneven", "different numbers of training batches"),
        pytest.param("uneven_stream", "ran out of training batches", marks=pytest.mark.soak),
        pytest.param("lonely_object", "Metric objects have to be logged on every process", marks=pytest.mark.soak),
    ],
)
def test_uneven_batches_are_refused_before_anybody_waits(tmp_path: Path, job: str, message: str) -> None:
    process = run_job(job, tmp_path)
    assert process.returncode != 0
    assert message in process.stderr


def test_a_process_without_validation_batches_takes_part(two: dict[str, Ranks]) -> None:
    ranks = two["lonely_validation"]
    assert len(ranks) == 2
    for rank in ranks:
        assert rank["hooks"] == ["epoch_end"] * 3  # the sanity check and two epochs
        assert rank["metrics"]["val_loss"] == pytest.approx(rank["expected"])
        assert rank["metrics"]["seen"] == 2.0
        assert {"val_loss", "val_loss_epoch"} & set(rank["bar"])


def test_loaders_that_split_themselves_are_left_alone(two: dict[str, Ranks]) -> None:
    assert [len(rank["losses"]) for rank in two["own_split"]] == [4, 4]


def test_a_resume_restores_every_process(two: dict[str, Ranks]) -> None:
    assert [all(rank["equal"]) for rank in two["resume"]] == [True, True]


def test_sigterm_ends_all_processes_after_the_same_batch(tmp_path: Path) -> None:
    process = run_job("terminate", tmp_path)
    assert process.returncode == 143, process.stderr
    notes = [path.read_text() for path in sorted((tmp_path / "terminate").glob("ended-*"))]
    assert notes == ["SIGTERMException 3"] * 2


def test_a_step_value_that_one_process_alone_logs_stops_nobody(two: dict[str, Ranks]) -> None:
    assert two["lonely"][0]["rare"] == [7.0, 7.0]  # the newest value of the epoch, in the rows from then on
