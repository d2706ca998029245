"""Fabric in two processes: the numbers of one, and every exchange."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trainer.scripts import Ranks, ended_well, ranks_of, run_script

ROOT = Path(__file__).parents[3]
JOBS = Path(__file__).with_name("fabric_jobs.py")

pytestmark = pytest.mark.multiprocess


def run_jobs(folder: Path, *jobs: str, devices: int = 2) -> dict[str, Ranks]:
    ended_well(run_script(JOBS, ",".join(jobs), str(folder), devices=devices))
    return {job: ranks_of(folder / job) for job in jobs}


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ranks]:
    return run_jobs(tmp_path_factory.mktemp("one"), "train", "accumulate", devices=1)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ranks]:
    return run_jobs(tmp_path_factory.mktemp("two"), "train", "accumulate", "exchange")


@pytest.mark.parametrize("job", ["train", "accumulate"])
def test_two_processes_have_the_losses_of_one(one: dict[str, Ranks], two: dict[str, Ranks], job: str) -> None:
    [alone], ranks = one[job], two[job]
    assert len(ranks) == 2
    for rank in ranks:
        assert rank["losses"] == pytest.approx(alone["losses"], abs=1e-6)
        assert rank["weights"] == pytest.approx(alone["weights"], abs=1e-6)


def test_a_launched_function_runs_in_each(tmp_path: Path) -> None:
    assert run_jobs(tmp_path, "launch")["launch"] == [{"text": "given", "world_size": 2}] * 2


def test_every_exchange(two: dict[str, Ranks]) -> None:
    ranks = two["exchange"]
    for index, rank in enumerate(ranks):
        assert rank["gathered"] == [[0, 10], [1, 10]]
        assert rank["number"] == [0.0, 1.0]
        assert (rank["mean"], rank["mean_of_whole"], rank["sum"], rank["max"]) == (0.5, 0.5, 3, 1)
        assert rank["from_zero"] == {"rank": 0}
        assert rank["from_one"] == [1.0, 1.0]
        # each process's loss counts its own value once with 2 (rank 0) or 3 (rank 1), and both losses are summed
        assert rank["gradient"] == [2 * [2.0, 3.0][index]]
        assert rank["there"] is (index == 1)
        assert rank["equal"][0] == rank["equal"][1]
        assert rank["saved"] == 0
        assert rank["names"] == ["layer.bias", "layer.weight"]
        assert "mark_forward_method('other_step')" in rank["refused"]
    assert ranks[0]["loss"] == ranks[1]["loss"]
    assert sorted(ranks[0]["parts"] + ranks[1]["parts"]) == [0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
