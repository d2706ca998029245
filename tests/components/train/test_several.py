"""Training in several processes: begun again when one dies, with the same weights; failures are explained."""

import json
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from components.config import as_plain
from components.errors import TrainingFailedError
from components.train.job import MODEL_FILE, Job
from components.train.launcher import run_job
from flows.stages import open_application
from tests.conftest import Released

pytestmark = [pytest.mark.slow, pytest.mark.multiprocess]


def make_job(released: Released, folder: Path, **changes: Any) -> Job:
    """Return a job of two processes on the released run's data."""
    run, config = open_application(
        "knowledge_tracing", "small", released.summary.request.overrides, settings=released.settings
    )
    folder.mkdir()
    data = released.summary.outcome.dataset
    return Job(
        package="flows.knowledge_tracing",
        dataset=str(run.store.folder(data)),
        folder=str(folder),
        config={**as_plain(config.train), "devices": 2, "max_epochs": 3, "patience": 0, **changes},
    )


def weights(job: Job) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(Path(job.folder) / MODEL_FILE, weights_only=True)["state_dict"]
    return state


def rank_process(rank: int) -> psutil.Process:
    """Return this process's descendant that trains as `rank`."""
    for child in psutil.Process().children(recursive=True):
        if "components.launch.worker" in " ".join(child.cmdline()) and child.environ().get("RANK") == str(rank):
            return child
    raise AssertionError(f"no process of rank {rank}")


@pytest.mark.soak
def test_a_killed_process_costs_nothing_but_time(released: Released, tmp_path: Path) -> None:
    undisturbed, disturbed = make_job(released, tmp_path / "one"), make_job(released, tmp_path / "two")
    expected = run_job(undisturbed, lambda line: None)
    lines: list[str] = []

    def kill_at_the_second_epoch(line: str) -> None:
        if line.startswith("epoch 2 of") and not any(line.startswith("epoch 2 of") for line in lines):
            rank_process(1).send_signal(signal.SIGKILL)
        lines.append(line)

    assert run_job(disturbed, kill_at_the_second_epoch) == expected
    assert any("going on from the last checkpoint" in line for line in lines)
    before, after = weights(undisturbed), weights(disturbed)
    assert before.keys() == after.keys()
    assert [name for name in before if not torch.equal(before[name], after[name])] == []


@pytest.mark.soak
def test_the_first_error_is_the_message(released: Released, tmp_path: Path) -> None:
    job = make_job(released, tmp_path / "job", hidden=-1)
    with pytest.raises(TrainingFailedError, match=r"Training process [01] of 2 failed first(?s:.)*hidden"):
        run_job(job, lambda line: None)
    assert json.loads((tmp_path / "job" / "launch" / "ended.json").read_text()) == {"state": "failed"}
