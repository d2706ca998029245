"""Two hosts, joined by a network: the weights of one machine, through cuts and a bad line."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

import trainer as L
from components.launch.job import JobState
from components.launch.local import LocalLauncher
from tests.components.launch.elastic import Machines, final, logs, machines, make_spec, seen, steps, wait_for_step
from tests.components.launch.elastic_job import BATCH, SAMPLES, Ledger, data, make_trainer
from tests.components.launch.hosts import ADDRESSES, Hosts, two_hosts

pytestmark = [pytest.mark.multiprocess, pytest.mark.slow, pytest.mark.needs_root]


@contextmanager
def job_on(hosts: Hosts, folder: Path, settings: dict[str, Any], **options: Any) -> Iterator[Machines]:
    """Start a job of one process on each host."""
    spec = make_spec(folder, settings=settings, processes_per_node=1, nodes_min=2, nodes_max=2, **options)
    with machines(
        folder, spec, prefix=lambda name: hosts.inside(name[0]), host=ADDRESSES["a"], options=hosts.options
    ) as job:
        job.start("a")
        job.start("b")
        yield job


def finish(job: Machines, folder: Path) -> None:
    for name, node in job.nodes.items():
        assert node.wait(200) == 0, f"{name}: {logs(folder)}"


def on_one_machine(folder: Path, settings: dict[str, Any]) -> dict[str, torch.Tensor]:
    job = LocalLauncher().submit(make_spec(folder, settings=settings))
    try:
        assert job.wait(120) is JobState.SUCCEEDED, logs(folder)
    finally:
        job.cancel()
    return final(folder)


def cut_after(number: int, hosts: Hosts, job: Machines, folder: Path, *, seconds: float) -> float:
    """Cut the link after a step, see the job to its end, and return the seconds from the mending to the next step."""
    wait_for_step(folder, number)
    hosts.cut()
    time.sleep(seconds)
    hosts.mend()
    mended_s = time.time()
    finish(job, folder)
    return next(at for at, _, _ in steps(folder) if at > mended_s) - mended_s


def assert_equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


@pytest.mark.soak
def test_two_hosts_have_the_weights_of_one_process(tmp_path: Path) -> None:
    settings = {"epochs": 2, "step_s": 0.0, "dropout": 0.0}
    with two_hosts() as hosts, job_on(hosts, tmp_path, settings) as job:
        finish(job, tmp_path)
    assert {size for _, _, size in steps(tmp_path)} == {2}
    assert seen(tmp_path) == [2.0] * SAMPLES
    L.seed_everything(7, verbose=False)
    alone = Ledger(0.0)
    loader = torch.utils.data.DataLoader(data(), batch_size=BATCH, shuffle=True)
    make_trainer(tmp_path, settings, devices=1, callbacks=[], enable_checkpointing=False).fit(alone, loader)
    for name, weights in alone.state_dict().items():
        torch.testing.assert_close(final(tmp_path)[name], weights, atol=1e-6, rtol=0)


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_a_bad_line_changes_no_weight(tmp_path: Path, strategy: str) -> None:
    settings = {"epochs": 2, "step_s": 0.0, "strategy": strategy}
    with two_hosts(delay_s=0.05, loss=0.01, seed=3) as hosts, job_on(hosts, tmp_path, settings) as job:
        finish(job, tmp_path)
    lines = steps(tmp_path)
    assert (lines[-1][0] - lines[0][0]) / (len(lines) - 1) > 0.1  # the line is felt
    assert_equal(final(tmp_path), on_one_machine(tmp_path / "one", settings))
    print(f"\n{strategy}: {(lines[-1][0] - lines[0][0]) / (len(lines) - 1):.2f} s a step")


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_a_cut_of_three_seconds_needs_no_restart(tmp_path: Path, strategy: str) -> None:
    settings = {"epochs": 4, "step_s": 0.1, "strategy": strategy}
    with two_hosts() as hosts, job_on(hosts, tmp_path, settings, max_restarts=0, exchange_timeout_s=15.0) as job:
        back_s = cut_after(8, hosts, job, tmp_path, seconds=3)
    assert [number for _, number, _ in steps(tmp_path)] == list(range(1, 33))
    assert seen(tmp_path) == [4.0] * SAMPLES
    assert_equal(final(tmp_path), on_one_machine(tmp_path / "one", settings))
    print(f"\n{strategy}: the next step {back_s:.1f} s after the link")


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_a_cut_longer_than_the_time_out_is_over_soon_after_the_link_is_back(tmp_path: Path, strategy: str) -> None:
    settings = {"epochs": 4, "step_s": 0.1, "strategy": strategy}
    with two_hosts() as hosts, job_on(hosts, tmp_path, settings, exchange_timeout_s=15.0) as job:
        back_s = cut_after(10, hosts, job, tmp_path, seconds=25)
    assert seen(tmp_path) == [4.0] * SAMPLES
    assert_equal(final(tmp_path), on_one_machine(tmp_path / "one", settings))
    print(f"\n{strategy}: the next step {back_s:.1f} s after the link")
    assert back_s <= 15
