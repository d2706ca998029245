"""Training goes on: after a kill, after notice, with machines that leave and join; what hangs is named."""

import json
import random
import re
import signal
import statistics
import time
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from components.launch.job import PREEMPTED_CODE, JobState
from components.launch.local import LocalLauncher
from tests.components.launch.elastic import (
    final,
    logs,
    machines,
    make_spec,
    rank_process,
    seen,
    steps,
    wait_for,
    wait_for_step,
)
from tests.components.launch.elastic_job import SAMPLES, Ledger, data, make_trainer

pytestmark = [pytest.mark.multiprocess, pytest.mark.slow]
EPOCHS = 4
INTERVAL = 4


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """Return the final weights of two processes that nobody disturbs."""
    folder = tmp_path_factory.mktemp("undisturbed")
    job = LocalLauncher().submit(make_spec(folder, settings={"epochs": EPOCHS, "step_s": 0.0}))
    try:
        assert job.wait(120) is JobState.SUCCEEDED, logs(folder)
    finally:
        job.cancel()
    return final(folder)


def differing(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> list[str]:
    assert one.keys() == other.keys()
    return [name for name in one if not torch.equal(one[name], other[name])]


def kill(folder: Path, rank: int, after: int) -> tuple[float, int]:
    """Kill a rank after a step; return the seconds until the next step, and how many steps were done twice."""
    known = len(steps(folder))
    wait_for_step(folder, after)
    known, killed_s = len(steps(folder)), time.time()
    rank_process(folder, rank).kill()
    wait_for(lambda: any(at > killed_s + 0.5 for at, _, _ in steps(folder)[known:]), 90, lambda: logs(folder))
    lines = steps(folder)
    back = next(index for index, (at, _, _) in enumerate(lines) if at > killed_s + 0.5)
    return lines[back][0] - killed_s, lines[back - 1][1] - (lines[back][1] - 1)


@pytest.mark.soak
def test_notice_and_a_kill_change_nothing_but_the_time(tmp_path: Path, undisturbed: dict[str, torch.Tensor]) -> None:
    spec = make_spec(tmp_path, settings={"epochs": EPOCHS, "every": INTERVAL, "step_s": 0.15})
    first = LocalLauncher().submit(spec)
    try:
        wait_for_step(tmp_path, INTERVAL + 1)
        first.preempt()
        assert first.wait(120) is JobState.PREEMPTED, logs(tmp_path)
    finally:
        first.cancel()
    assert first.failure() is None
    assert json.loads((tmp_path / "job" / "ended.json").read_text()) == {"state": "preempted"}
    done = len(steps(tmp_path))
    assert [number for _, number, _ in steps(tmp_path)] == list(range(1, done + 1))
    assert len(steps(tmp_path, rank=1)) == done  # both ended with the same batch
    second = LocalLauncher().submit(spec)
    try:
        pause_s, repeated = kill(tmp_path, rank=1, after=done + INTERVAL + 2)
        assert second.wait(120) is JobState.SUCCEEDED, logs(tmp_path)
    finally:
        second.cancel()
    assert steps(tmp_path)[done][1] == done + 1  # nothing that was saved on notice is done again
    assert 0 <= repeated <= INTERVAL
    assert pause_s < 60
    assert differing(final(tmp_path), undisturbed) == []
    assert seen(tmp_path) == [EPOCHS] * SAMPLES  # each sample pushed its weight once in each epoch


@pytest.mark.soak
def test_machines_leave_and_join(tmp_path: Path) -> None:
    spec = make_spec(
        tmp_path,
        settings={"epochs": 2000, "step_s": 0.1},
        processes_per_node=1,
        nodes_min=1,
        nodes_max=2,
        max_restarts=5,
    )
    with machines(tmp_path, spec) as job:
        job.start("a")
        leaver = job.start("b")
        wait_for_step(tmp_path, 6, world=2)
        leaver.send_signal(signal.SIGTERM)
        assert leaver.wait(120) == PREEMPTED_CODE, job.log("b")
        known = len(steps(tmp_path))
        wait_for_step(tmp_path, 8, world=1, since=known)
        job.start("c")
        wait_for_step(tmp_path, 10, world=2, since=known)
        lines = steps(tmp_path)
        for _, node in job.nodes.items():
            if node is not leaver:
                node.send_signal(signal.SIGTERM)
                assert node.wait(120) == PREEMPTED_CODE, logs(tmp_path)
    assert lines[0][2] == 2
    # Every sample once in each whole epoch, and those of the open one at most once more.
    newest = max((tmp_path / "kept").glob("last*.ckpt"), key=lambda path: path.stat().st_mtime)
    state = torch.load(newest, weights_only=True)
    done = state["global_step"]
    counts = state["state_dict"]["seen"].flatten()
    assert counts.sum() == done * 16  # each step has counted a whole global batch, whatever the number of processes
    assert set(counts.tolist()) <= {float(done // 8), float(done // 8 + 1)}
    # What notice interrupts is not done twice: the numbers of the steps never go back.
    numbers = [number for _, number, _ in steps(tmp_path)]
    assert all(after == before + 1 for before, after in pairwise(numbers)), numbers


def test_a_rank_that_hangs_is_named_with_the_operation(tmp_path: Path) -> None:
    timeout_s = 3.0
    spec = make_spec(tmp_path, settings={"epochs": 2000}, max_restarts=0, exchange_timeout_s=timeout_s)
    job = LocalLauncher().submit(spec)
    try:
        wait_for_step(tmp_path, 5)
        stopped_s = time.monotonic()
        rank_process(tmp_path, 1).send_signal(signal.SIGSTOP)
        assert job.wait(120) is JobState.FAILED, logs(tmp_path)
        took_s = time.monotonic() - stopped_s
        failure = job.failure()
    finally:
        job.cancel()
    assert failure is not None
    assert failure.kind == "LateRankError"
    assert re.search("Rank 1 did not arrive at (all_reduce|the agreement after a batch)", failure.detail)
    assert "within 3 s" in failure.detail
    step = steps(tmp_path)[-1][1]
    assert any(f"(step {number})" in failure.detail for number in (step, step + 1))
    assert took_s < timeout_s + 35


@pytest.fixture(scope="module")
def half_done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the checkpoint of two processes after 3 of 8 batches of an epoch, 8 samples each."""
    folder = tmp_path_factory.mktemp("half")
    spec = make_spec(folder, settings={"epochs": 1, "max_steps": 3, "every": 3, "step_s": 0.0}, max_restarts=0)
    job = LocalLauncher().submit(spec)
    try:
        assert job.wait(120) is JobState.SUCCEEDED, logs(folder)
    finally:
        job.cancel()
    return folder


@pytest.mark.parametrize(("batch_size", "accumulate", "steps_left"), [(16, 1, 5), (8, 2, 5), (8, 1, 10), (4, 4, 5)])
def test_an_epoch_goes_on_with_another_number_of_processes(
    half_done: Path, tmp_path: Path, batch_size: int, accumulate: int, steps_left: int
) -> None:
    """128 samples: 48 are done. One process goes on with the same global batch, or with the same batch of its own."""
    trainer = make_trainer(tmp_path, {"epochs": 1, "step_s": 0.0}, devices=1, accumulate_grad_batches=accumulate)
    model = Ledger()
    loader = torch.utils.data.DataLoader(data(), batch_size=batch_size, shuffle=True)
    with pytest.warns(UserWarning, match=r"from the middle of an epoch of 2 processes|random states"):
        trainer.fit(model, loader, ckpt_path=half_done / "kept" / "last.ckpt")
    assert trainer.global_step == 3 + steps_left
    pushed = batch_size * accumulate / 16  # a smaller batch moves the weights of its samples by more
    counts = model.seen.detach().flatten()
    early = torch.load(half_done / "final.ckpt", weights_only=True)["state_dict"]["seen"].flatten()
    assert early.sum() == 48
    assert torch.equal(counts[early == 0], torch.full((80,), 1 / pushed))
    assert torch.equal(counts[early == 1], torch.ones(48))


def test_a_place_between_two_batches_is_refused(half_done: Path, tmp_path: Path) -> None:
    from trainer.errors import CheckpointError

    loader = torch.utils.data.DataLoader(data(), batch_size=32, shuffle=True)  # 48 samples are one and a half
    trainer = make_trainer(tmp_path, {"epochs": 1}, devices=1)
    with (
        pytest.warns(UserWarning, match="from the middle of an epoch"),
        pytest.raises(CheckpointError, match="no whole number of batches on 1"),
    ):
        trainer.fit(Ledger(), loader, ckpt_path=half_done / "kept" / "last.ckpt")


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_fifty_kills(tmp_path: Path, undisturbed: dict[str, torch.Tensor]) -> None:
    """Kills of either rank at random moments; ten to a job."""
    seed = random.randrange(2**32)
    dice = random.Random(seed)
    pauses: list[float] = []
    for trial in range(5):
        folder = tmp_path / str(trial)
        spec = make_spec(folder, settings={"epochs": EPOCHS, "step_s": 0.3}, max_restarts=12, timeout_s=600.0)
        job = LocalLauncher().submit(spec)
        try:
            for count in range(10):
                pause_s, repeated = kill(folder, dice.randrange(2), after=3 * count + 2)
                pauses.append(pause_s)
                assert 0 <= repeated <= INTERVAL
                time.sleep(dice.random())
            assert job.wait(300) is JobState.SUCCEEDED, logs(folder)
        finally:
            job.cancel()
        assert differing(final(folder), undisturbed) == [], trial
    pauses.sort()
    print(f"\nseed {seed}: {len(pauses)} of 50 kills back, median {statistics.median(pauses):.2f} s, "
          f"p95 {pauses[int(0.95 * len(pauses))]:.2f} s, longest {pauses[-1]:.2f} s")  # fmt: skip
    assert statistics.median(pauses) <= 8


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_twenty_times_a_machine_leaves_and_joins(tmp_path: Path) -> None:
    pauses: dict[int, list[float]] = {1: [], 2: []}
    spec = make_spec(
        tmp_path, settings={"epochs": 2000, "step_s": 0.1}, processes_per_node=1, nodes_min=1, nodes_max=2,
        max_restarts=60, timeout_s=1800.0,
    )  # fmt: skip
    with machines(tmp_path, spec) as job:
        job.start("a")
        job.start("b0")
        wait_for_step(tmp_path, 5, world=2)
        for trial in range(10):
            for world in (1, 2):
                known, since_s = len(steps(tmp_path)), time.time()
                if world == 1:
                    how = signal.SIGTERM if trial % 2 else signal.SIGKILL
                    job.nodes[f"b{trial}"].send_signal(how)
                else:
                    job.start(f"b{trial + 1}")
                wait_for_step(tmp_path, 0, world=world, since=known)
                at = next(at for at, _, size in steps(tmp_path)[known:] if size == world)
                pauses[world].append(at - since_s)
                time.sleep(1)
    print(f"\nleave: {sorted(pauses[1])}\njoin: {sorted(pauses[2])}")
