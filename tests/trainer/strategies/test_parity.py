"""Every configuration has the losses of one process, on two and on four; checkpoints go from one to another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import trainer as L
from tests.trainer.scripts import Ranks, ended_well, ranks_of, run_script
from tests.trainer.strategies import parity_hooks, parity_mp, parity_pipe
from tests.trainer.strategies.parity_jobs import CONFIGS, Model
from trainer.errors import MisconfigurationException
from trainer.strategies import FSDPStrategy

ROOT = Path(__file__).parents[3]
JOBS = Path(__file__).with_name("parity_jobs.py")
LOSSY = frozenset([*parity_hooks.LOSSY, *parity_mp.LOSSY, *parity_pipe.LOSSY])


def run(folder: Path, devices: int, *names: str, **variables: str) -> Ranks:
    """Train the named configurations (all by default) and return each process's results."""
    folder.mkdir(parents=True, exist_ok=True)
    ended_well(run_script(JOBS, str(folder), *names, devices=devices, timeout=280, variables=variables))
    return ranks_of(folder)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """Return a function that gives the results of one process for some configurations, each trained once."""
    known: dict[str, Any] = {}

    def results(*names: str) -> dict[str, Any]:
        if missing := [name for name in names if name not in known]:
            known.update(run(tmp_path_factory.mktemp("one"), 1, *missing)[0])
        return known

    return results


SOME = ("ddp/blocks", "fsdp/recurrent", "fsdp-hybrid/tied", "fsdp-keep/blocks", "fsdp/accumulate", "fsdp/ema",
        "zero/groups", "powersgd/blocks")  # fmt: skip


@pytest.mark.parametrize(
    ("devices", "names"),
    [
        (2, tuple(CONFIGS)[::12]),
        pytest.param(4, (*SOME, *parity_mp.SOME, *parity_pipe.SOME), marks=pytest.mark.soak),
        pytest.param(2, tuple(CONFIGS), marks=pytest.mark.soak),
        pytest.param(4, tuple(CONFIGS), marks=pytest.mark.soak),
    ],
)
@pytest.mark.multiprocess
@pytest.mark.slow
def test_every_configuration_has_the_losses_of_one_process(
    tmp_path: Path, alone: Callable[..., dict[str, Any]], devices: int, names: tuple[str, ...]
) -> None:
    assert len(CONFIGS) >= 30
    expected = alone(*names)
    ranks = run(tmp_path, devices, *names)
    assert len(ranks) == devices
    for rank in ranks:
        assert set(rank) == set(names)
        for name, many in rank.items():
            one, tolerance = expected[name], CONFIGS[name].tolerance
            assert len(one["losses"]) == 20, name
            assert many["losses"] == pytest.approx(one["losses"], abs=tolerance), name
            # 13 samples on 2 or 4 processes: none is repeated, and some processes have fewer batches
            assert many["validated"] == pytest.approx(one["validated"], abs=tolerance), name
            assert many["metrics"] == pytest.approx(one["metrics"], abs=tolerance), name
            assert many["weights"].keys() == one["weights"].keys()
            if name in LOSSY:  # what is lost shows: the hook, or the format, was in use
                assert max(abs(a - b) for a, b in zip(many["losses"], one["losses"], strict=True)) > 1e-6, name
                continue
            for key, weights in one["weights"].items():
                assert many["weights"][key] == pytest.approx(weights, abs=tolerance), (name, key)
    for name in {"fsdp/blocks", "fsdp/recurrent"} & set(names):  # the largest share: odd sizes split unevenly
        assert max(rank[name]["memory"] for rank in ranks) <= 1.1 / devices * expected[name]["memory"]


@pytest.mark.parametrize("source", ["mesh", "alone", "fsdp"])
@pytest.mark.multiprocess
@pytest.mark.soak
def test_a_checkpoint_goes_on_under_any_strategy_and_number_of_processes(
    tmp_path: Path, alone: Callable[..., dict[str, Any]], source: str
) -> None:
    name = "fsdp/ema"
    targets: tuple[tuple[int, str], ...] = ((4, name),) if source == "alone" else ((1, name), (2, "ddp/ema"), (4, name))
    if source == "mesh":
        name, targets = "tp-fsdp/ema", ((4, "tp-fsdp/ema"),)
    expected = alone(name)[name]
    run(tmp_path / "first", 1 if source == "alone" else 2, name, JOB_EPOCHS="1")
    path = str(tmp_path / "first" / name.replace("/", "-") / "epoch.ckpt")
    for devices, target in targets:
        for rank in run(tmp_path / f"{devices}-{target[:3]}", devices, target, JOB_FROM=path):
            assert rank[target]["losses"] == pytest.approx(expected["losses"][10:], abs=1e-6), (devices, target)
            for key, weights in expected["weights"].items():
                assert rank[target]["weights"][key] == pytest.approx(weights, abs=1e-6), (devices, target, key)


def test_sharded_weights_load_on_one_device(tmp_path: Path) -> None:
    """One process holds all shares: nothing is split, and the file is an ordinary one."""
    torch.manual_seed(1)
    model = Model("tied", "sgd")
    options: dict[str, Any] = {"accelerator": "cpu", "devices": 1, "logger": False, "enable_progress_bar": False}
    trainer = L.Trainer(strategy="fsdp", max_epochs=1, limit_train_batches=2, default_root_dir=tmp_path,
                        enable_checkpointing=False, enable_model_summary=False, **options)  # fmt: skip
    from tests.trainer.strategies.parity_jobs import data

    loader = torch.utils.data.DataLoader(data(16), batch_size=8)
    trainer.fit(model, loader)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    state = torch.load(tmp_path / "a.ckpt", weights_only=True)["state_dict"]
    assert {type(value) for value in state.values()} == {torch.Tensor}
    fresh = Model("tied", "sgd")
    fresh.load_state_dict(state)
    predicted = trainer.predict(model, loader)
    assert predicted is not None
    with torch.no_grad():
        assert torch.equal(fresh.net(data(16).tensors[0]), torch.cat(predicted))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sharding_strategy": "NO_SHARD"}, r"`sharding_strategy` is unknown.*use strategy='ddp'"),
        ({"device_mesh": (2, 2)}, r"`device_mesh` and `sharding_strategy` do not fit.*with 'HYBRID_SHARD' only"),
        ({"mixed_precision": "bf16"}, r"`mixed_precision` is no policy"),
        ({"auto_wrap_policy": 3}, r"`auto_wrap_policy` is no policy"),
        ({"activation_checkpointing_policy": {3}}, r"`activation_checkpointing_policy` is no policy"),
        (
            {"activation_checkpointing": [torch.nn.Tanh], "activation_checkpointing_policy": {torch.nn.Tanh}},
            r"Two arguments choose",
        ),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(MisconfigurationException, match=message):
        FSDPStrategy(**options)
