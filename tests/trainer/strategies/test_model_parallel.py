"""Meshes, plans and Fabric on several processes, and what cannot be."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

import trainer as L
from tests.trainer.scripts import Ranks, ended_well, ranks_of, run_script
from trainer.errors import MisconfigurationException
from trainer.strategies import ModelParallelStrategy, StrategyRegistry

ROOT = Path(__file__).parents[3]
JOBS = Path(__file__).with_name("mp_jobs.py")
FABRIC = ("fabric_fsdp", "fabric_fsdp_joint", "fabric_fsdp_deferred", "fabric_tensor", "fabric_tensor_joint")


def start(folder: Path, devices: int, *jobs: str, torchrun: bool = False) -> subprocess.CompletedProcess[str]:
    return run_script(JOBS, str(folder), *jobs, devices=devices, torchrun=torchrun, timeout=200)


def run(folder: Path, devices: int, *jobs: str) -> Ranks:
    ended_well(start(folder, devices, *jobs))
    return ranks_of(folder)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run(tmp_path_factory.mktemp("one"), 1, "fabric_fsdp", "configured", "memory")[0]


@pytest.mark.soak
@pytest.mark.parametrize("devices", [2, 4])
@pytest.mark.multiprocess
@pytest.mark.slow
def test_processes_have_the_results_of_one(tmp_path: Path, alone: dict[str, Any], devices: int) -> None:
    ranks = run(tmp_path, devices, *FABRIC, "configured", "memory", "late_weights")
    assert len(ranks) == devices
    for rank in ranks:
        one = alone["fabric_fsdp"]
        assert one["went_on"]
        for name in FABRIC:
            many = rank[name]
            assert many["losses"] == pytest.approx(one["losses"], abs=1e-5), name
            assert many["norms"] == pytest.approx(one["norms"], abs=1e-5), name  # of all parameters, on each process
            assert many["size"] == pytest.approx(one["size"], abs=1e-5), name
            assert (many["went_on"], many["step"]) == (True, 10), name
            shares = devices // 2 if "tensor" in name else devices
            assert many["gathered"] == [shares, 3], name  # each share of the data once
            for key, weights in one["weights"].items():
                assert many["weights"][key] == pytest.approx(weights, abs=1e-5), (name, key)
        for how, many in rank["configured"].items():
            one = alone["configured"][how]
            assert many["losses"] == pytest.approx(one["losses"], abs=1e-5), how
            assert many["metrics"]["val_loss"] == pytest.approx(one["metrics"]["val_loss"], abs=1e-5), how
            assert many["kinds"] == ["DTensor"], how
            assert many["norms"] == pytest.approx(one["norms"], abs=1e-5), how
        late = rank["late_weights"]
        assert late["found"] == late["there"]
        assert not late["is_meta"]
    largest = max(rank["memory"]["bytes"] for rank in ranks)
    assert largest <= (0.55 if devices == 2 else 0.28) * alone["memory"]["bytes"]


EXPECTED = {
    "sizes": ("DistributedError", r"data_parallel_size=3 and tensor_parallel_size=1 multiply to 3.*Got 2 processes"),
    "width": ("MisconfigurationException", r"`net.leave` has out_features=1.*that 2 divides.*'tensor_parallel'"),
    "heads": ("MisconfigurationException", r"`net.heads` is 3"),
    "another": ("MisconfigurationException", r"match no module of Model.*net.feeds.up.*such as \['net.blocks.0.down'"),
    "recurrent": ("MisconfigurationException", r"`net.lstm` is a LSTM, and ColwiseParallel splits nn.Linear"),
    "twice": ("MisconfigurationException", r"Two names of the plan match one module.*net.blocks.\*.up"),
    "tied": ("MisconfigurationException", r"share.*net.first.weight.*net.second.weight"),
    "nothing": ("WrongTypeError", r"no plan, and Wide does not override `configure_model`"),
    "no plan": ("MisconfigurationException", r"A plan says for names of modules"),
    "nccl": ("MisconfigurationException", r"NCCL exchanges tensors of GPUs only\..*'nccl' on CPUs"),
    "unfilled": ("MisconfigurationException", r"meta device and cannot fill itself.*net: Stranger"),
    "copies": ("MisconfigurationException", r"`device_mesh` does not hold every process.*product is 2"),
}  # fmt: skip


@pytest.mark.soak
@pytest.mark.multiprocess
@pytest.mark.slow
def test_what_cannot_be_is_refused_on_every_process(tmp_path: Path) -> None:
    done = start(tmp_path, 2, "refusals", "wrong_plan", torchrun=True)
    ranks = ranks_of(tmp_path)
    assert len(ranks) == 2
    for rank in ranks:
        found = rank["refusals"]
        assert found.keys() == EXPECTED.keys()
        for name, (kind, message) in EXPECTED.items():
            assert found[name][0] == kind, found[name]
            assert re.search(message, found[name][1]), found[name]
        assert "wrong_plan" not in rank
    assert done.returncode != 0
    assert "Names of the plan match no module of Model" in done.stderr


@pytest.mark.soak
@pytest.mark.multiprocess
@pytest.mark.slow
def test_a_plan_of_another_model_ends_the_processes_that_we_start(tmp_path: Path) -> None:
    done = start(tmp_path, 2, "wrong_plan")
    assert done.returncode != 0
    assert "Names of the plan match no module of Model" in done.stderr
    assert ranks_of(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data_parallel_size": 0}, "`data_parallel_size` is no number of processes"),
        ({"tensor_parallel_size": 1.5}, "`tensor_parallel_size` is no number of processes"),
        ({"tensor_parallel_size": True}, "`tensor_parallel_size` is no number of processes"),
        ({"data_parallel": "zero"}, "`data_parallel` is unknown"),
        ({"sharding_strategy": "NO_SHARD"}, "`sharding_strategy` is unknown"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(MisconfigurationException, match=message):
        ModelParallelStrategy(**options)


def test_names_and_defaults_are_lightnings() -> None:
    strategy = ModelParallelStrategy()
    assert (strategy.data_parallel_size, strategy.tensor_parallel_size) == ("auto", "auto")
    assert strategy.save_distributed_checkpoint is strategy.saves_sharded is True
    assert ModelParallelStrategy(save_distributed_checkpoint=False).saves_sharded is False
    assert strategy.process_group_backend is None
    assert ModelParallelStrategy(2, 4).tensor_parallel_size == 4
    assert type(StrategyRegistry.get("model_parallel")) is ModelParallelStrategy
    assert type(L.Trainer(accelerator="cpu", devices=1, strategy="model_parallel").strategy) is ModelParallelStrategy
    with pytest.raises(RuntimeError, match="once the processes have joined"):
        _ = strategy.device_mesh
