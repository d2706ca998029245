"""Split optimizers, communication hooks, and bad input that every process hears of."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks
from torch.distributed.algorithms.ddp_comm_hooks.post_localSGD_hook import PostLocalSGDState
from torch.distributed.algorithms.ddp_comm_hooks.powerSGD_hook import PowerSGDState

import trainer as L
from tests.trainer.scripts import Ranks, ended_well, ranks_of, run_script
from trainer.errors import MisconfigurationException
from trainer.plugins import LayerSync, TorchSyncBatchNorm
from trainer.strategies import DDPStrategy, zero
from trainer.strategies.communication import forget_errors
from trainer.strategies.ddp_arguments import check_backend
from trainer.strategies.same_model import describe, differences

ROOT = Path(__file__).parents[3]
JOBS = Path(__file__).with_name("hooks_jobs.py")


def run(folder: Path, devices: int, *jobs: str, torchrun: bool = True) -> subprocess.CompletedProcess[str]:
    return run_script(JOBS, str(folder), *jobs, devices=devices, torchrun=torchrun, timeout=240)


def results(folder: Path, devices: int, *jobs: str) -> Ranks:
    ended_well(run(folder, devices, *jobs, torchrun=devices > 1))
    return ranks_of(folder, f"{devices}-rank-*.json")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hooks")


@pytest.fixture(scope="module")
def alone(folder: Path) -> dict[str, Any]:
    """One process: what all others are compared with, and a checkpoint `alone.ckpt`."""
    return results(folder, 1, "first", "resume", "manual", "fabric", "own_zero")[0]


@pytest.fixture(scope="module")
def two(folder: Path, alone: dict[str, Any]) -> Ranks:
    found = results(folder, 2, "first", "resume", "manual", "fabric", "own_zero", "refused")
    assert len(found) == 2
    return found


pytestmark = pytest.mark.multiprocess


def near(value: Any, tolerance: float = 1e-6) -> Any:
    return pytest.approx(value, abs=tolerance)


def test_each_process_holds_its_share_of_the_optimizer(two: Ranks, alone: dict[str, Any]) -> None:
    for job in ("first", "fabric"):
        held = [rank[job]["bytes"] for rank in two]
        assert sum(held) == alone[job]["bytes"]
        assert max(held) <= 0.55 * alone[job]["bytes"]
    for rank in two:
        assert rank["first"]["kind"] == "AdamW"  # the user's own object
        assert rank["first"]["losses"] == near(alone["first"]["losses"])


@pytest.mark.soak
def test_a_folder_is_saved_and_read_by_shares(tmp_path: Path) -> None:
    first, second = (rank["folders"] for rank in results(tmp_path, 2, "folders"))
    assert first["elsewhere"] > 0
    assert second["elsewhere"] == 0
    for rank in (first, second):
        assert rank["held"] == rank["read"] == rank["own"] > 0
        assert rank["weights"] == near(rank["unsplit"])


def test_checkpoints_are_those_of_one_process(folder: Path, two: Ranks) -> None:
    pairs = {"first.ckpt": "alone.ckpt", "manual-2.ckpt": "manual-1.ckpt"}
    for name, other in pairs.items():
        split, whole = (torch.load(folder / path, weights_only=True)["optimizer_states"] for path in (name, other))
        assert len(split) == len(whole) == (2 if "manual" in name else 1)
        for mine, one in zip(split, whole, strict=True):
            assert mine["param_groups"] == one["param_groups"]
            assert list(mine["state"]) == list(one["state"])
            for index, held in one["state"].items():
                assert mine["state"][index].keys() == held.keys()
                for key, value in held.items():
                    torch.testing.assert_close(mine["state"][index][key], value, atol=2e-5, rtol=1e-3)


def test_a_checkpoint_goes_on_anywhere(folder: Path, alone: dict[str, Any], two: Ranks) -> None:
    expected = alone["resume"]["alone/plain"]
    onwards = results(folder, 1, "resume")[0]  # on one process, from what two with a split optimizer left
    assert onwards["resume"]["first/plain"]["losses"] == near(expected["losses"])
    check_resumed(two, expected)


@pytest.mark.soak
def test_a_checkpoint_goes_on_in_four_processes(folder: Path, alone: dict[str, Any], two: Ranks) -> None:
    assert len(two) == 2  # they left the checkpoints
    four = results(folder, 4, "resume")
    assert len(four) == 4
    check_resumed(four, alone["resume"]["alone/plain"])


def check_resumed(ranks: Ranks, expected: dict[str, Any]) -> None:
    """See that each process went on, from each of the checkpoints, as one alone would have."""
    for rank in ranks:
        assert set(rank["resume"]) == {"first/zero", "first/plain", "alone/zero", "alone/plain"}
        for name, found in rank["resume"].items():
            assert found["losses"] == near(expected["losses"]), name
            assert found["weights"] == near(expected["weights"]), name


@pytest.mark.parametrize("job", ["manual", "fabric", "own_zero"])
def test_other_ways_to_step_have_the_losses_of_one_process(two: Ranks, alone: dict[str, Any], job: str) -> None:
    """Manual optimisation with closures, a loop under Fabric, and ZeroRedundancyOptimizer by the user."""
    for rank in two:
        assert rank[job]["losses"] == near(alone[job]["losses"], 1e-5)
        assert rank[job]["weights"] == near(alone[job]["weights"], 1e-5)


def test_bad_input_is_refused_on_every_process(two: Ranks) -> None:
    for rank in two:
        errors = rank["refused"]
        for job in ("ddp", "fsdp"):
            kind, message = errors[job]
            assert kind == "DistributedError"
            assert "different models of Wider" in message
            assert "net.leave.bias is float32[1] on rank 0, float32[2] on rank 1" in message
            assert "net.enter.weight is float32[12, 6] on rank 0, float64[12, 6] on rank 1" in message
            assert "extra.weight is float32[1, 1] on rank 0, missing on rank 1" in message
        assert errors["fabric"][0] == "DistributedError"
        assert "weight is float32[1, 2] on rank 0, float32[1, 3] on rank 1" in errors["fabric"][1]
        assert errors["lbfgs"][0] == errors["nccl"][0] == errors["sync_batchnorm"][0] == "MisconfigurationException"
        assert "zero_stage=0" in errors["lbfgs"][1]
        assert errors["unplain"][0] == "CheckpointError"
        assert re.search(r'Got "state\[\d+\]\[.made_in.\]: pathlib\S*\.PosixPath on rank 1"', errors["unplain"][1])
        assert "NCCL exchanges tensors of GPUs only" in errors["nccl"][1]
        assert "SyncBatchNorm runs nowhere else" in errors["sync_batchnorm"][1]


@pytest.mark.soak
def test_different_models_end_every_process(tmp_path: Path) -> None:
    done = run(tmp_path, 2, "wider", torchrun=False)
    assert done.returncode != 0
    assert "net.leave.bias is float32[1] on rank 0, float32[2] on rank 1" in done.stderr
    assert not list(tmp_path.glob("*.json"))


# Without other processes


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"zero_stage": 2}, MisconfigurationException, "stages 2 and 3.*strategy='fsdp'"),
        ({"ddp_comm_hook": 3}, TypeError, "`ddp_comm_hook` cannot be called"),
        ({"ddp_comm_state": object()}, MisconfigurationException, "no communication hook"),
        ({"ddp_comm_wrapper": default_hooks.fp16_compress_wrapper}, MisconfigurationException, "no communication hook"),
        ({"model_averaging_period": 4}, ValueError, "losses are not those of one process"),
        ({"ddp_comm_state": PostLocalSGDState(None, None, 10)}, ValueError, "nor a Post"),  # type: ignore[no-untyped-call]
        ({"bucket_cap": 1}, TypeError, "has an argument `bucket_cap`"),
        ({"accelerator": "cpu"}, MisconfigurationException, r"Pass Trainer\(accelerator"),
        ({"device_ids": [0]}, TypeError, "has an argument `device_ids`"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        DDPStrategy(**options)


def test_further_arguments_reach_torch() -> None:
    given = DDPStrategy(accelerator=None, bucket_cap_mb=1, init_sync=True, timeout=None)
    assert given.ddp_options == {"bucket_cap_mb": 1, "init_sync": True}
    assert given.timeout.total_seconds() == 300


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        (lambda: DDPStrategy(ddp_comm_hook=default_hooks.bf16_compress_hook), "bf16_compress_hook on 'cpu'"),
        (
            lambda: DDPStrategy(
                ddp_comm_hook=default_hooks.fp16_compress_hook, ddp_comm_wrapper=default_hooks.bf16_compress_wrapper
            ),
            "bf16_compress_wrapper on 'cpu'",
        ),
        (lambda: DDPStrategy(process_group_backend="nccl"), "GPUs only"),
        (lambda: DDPStrategy(process_group_backend="mpi"), "lacks the back end.*expected one of.*'gloo'"),
    ],
)
@pytest.mark.parametrize("kind", [L.Trainer, L.Fabric])
def test_what_a_cpu_cannot_run_is_refused_at_construction(
    strategy: Callable[[], DDPStrategy], message: str, kind: type
) -> None:
    with pytest.raises(MisconfigurationException, match=message):
        kind(accelerator="cpu", devices=2, strategy=strategy())


@pytest.mark.skipif(torch.distributed.is_nccl_available(), reason="this build of torch has NCCL")
def test_a_missing_nccl_is_named() -> None:
    with pytest.raises(MisconfigurationException, match=r"lacks the back end.*'nccl'.*Install a build of torch"):
        check_backend("nccl", "cuda")


def test_back_ends_by_device_are_read() -> None:
    check_backend("cpu:gloo", "cpu")
    check_backend(None, "cpu")
    with pytest.raises(MisconfigurationException, match="lacks the back end"):
        check_backend("cpu:gloo,cuda:nothing", "cuda")


def test_batch_norms_over_processes_need_gpus() -> None:
    options: dict[str, Any] = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False}
    for given in ({"sync_batchnorm": True}, {"plugins": [TorchSyncBatchNorm()]}):
        with pytest.raises(MisconfigurationException, match=r"2 processes on 'cpu' devices.*GroupNorm"):
            L.Trainer(devices=2, strategy="ddp", **given, **options)
    L.Trainer(devices=1, sync_batchnorm=True, **options)  # changes nothing there

    class Mine(LayerSync):
        def apply(self, model: nn.Module) -> nn.Module:
            return model

        revert = apply

    L.Trainer(devices=2, strategy="ddp", plugins=[Mine()], **options)


def test_differences_are_counted_beyond_the_first() -> None:
    one = describe(nn.Sequential(*[nn.Linear(2, 2) for _ in range(4)]))
    other = describe(nn.Sequential(*[nn.Linear(3, 3) for _ in range(4)]))
    said = differences([one, other, one])
    assert said[0] == "0.weight is float32[2, 2] on rank 0, 2, float32[3, 3] on rank 1"
    assert said[5:] == ["and 3 more"]
    frozen = nn.Linear(2, 2).requires_grad_(False)
    assert differences([describe(nn.Linear(2, 2)), describe(frozen)])[0] == (
        "weight is float32[2, 2] on rank 0, float32[2, 2] (frozen) on rank 1"
    )
    assert describe(nn.LazyLinear(2)) == {"weight": "not made yet", "bias": "not made yet"}


def test_what_power_sgd_learned_of_other_buckets_is_forgotten() -> None:
    state = PowerSGDState(None)
    state.iter, state.error_dict[0], state.q_memory_dict[0] = 7, torch.ones(3), torch.ones(2)
    forget_errors(state)
    assert (state.iter, state.error_dict, state.q_memory_dict) == (0, {}, {})
    forget_errors(None)


def test_few_buckets_of_new_parameters_travel_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rank one's values arrive, here as sevens; rank zero's own are those of plain SGD, 1 - 0.5 * 2."""
    travelling: set[int] = set()
    most = []

    class Work:
        def __init__(self, flat: torch.Tensor, src: int) -> None:
            self.flat, self.src = flat, src
            travelling.add(id(self))
            most.append(len(travelling))

        def wait(self) -> None:
            travelling.remove(id(self))
            if self.src == 1:
                self.flat.fill_(7.0)

    monkeypatch.setattr(dist, "broadcast", lambda flat, src, async_op: Work(flat, src))
    monkeypatch.setattr(zero, "_BUCKET", 4)
    parameters = [nn.Parameter(torch.ones(3)) for _ in range(10)]
    optimizer = torch.optim.SGD(parameters, lr=0.5)
    shares = zero.ShardedOptimizer(optimizer, rank=0, world_size=2)
    for parameter in parameters:
        parameter.grad = torch.full((3,), 2.0)
    optimizer.step()
    assert zero.ShardedOptimizer.of(optimizer) is shares
    assert len(most) == 10
    assert max(most) == 2
    assert not travelling
    values = sorted(parameter.tolist() for parameter in parameters)
    assert values == [[0.0] * 3] * 5 + [[7.0] * 3] * 5
