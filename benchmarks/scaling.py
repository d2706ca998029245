"""What several processes cost: the trainer beside plain torch, in the same processes.

    python -m benchmarks.scaling [--rounds 100] [--steps 3] [--json]

Two processes on Gloo, one thread each, train an embedding with an LSTM (170,000 parameters, 64 sequences of 50 tokens,
25 ms a step and more on one core). Blocks of a few steps alternate in the same two processes, all beginning together;
wall time, as waiting for each other is what is measured; medians of the ratios of neighbouring blocks. Waiting hangs on
what else the machine does, so that CPU time stands beside it.

- `ddp`: the trainer under strategy="ddp", everything off.
- `torch`: the same loop written plainly around torch's DistributedDataParallel. The trainer may cost 1 % more.
- `alone`: each process trains a model of its own without a word to the other. DDP has to reach 0.85 of the two.

Again with the optimizer's state split (`zero_stage=1`), beside plain DistributedDataParallel; no goal.

Then the bytes of parameters, gradients and optimizer state that one process holds under FSDP2, as a share of what a
single process holds for the same model: at most 0.55; and of optimizer state under `zero_stage=1`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

import trainer as L
from benchmarks.machine import processor_name
from benchmarks.nets import Batch, Batches, SequenceNet
from benchmarks.step import OFF
from components.launch.processes import descendants, kill_all
from trainer.strategies import DDPStrategy, FSDPStrategy, Strategy

PROCESSES = 2
TARGETS = {"ddp/torch": 1.01, "efficiency": 0.85, "fsdp share": 0.55}
Times = tuple[float, float]
"""Wall and CPU seconds of a block."""
Block = Callable[[], Times]


class Net(nn.Module):
    """The loss as the forward pass, as DistributedDataParallel asks for it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = SequenceNet()

    def forward(self, tokens: Tensor, target: Tensor) -> Tensor:
        """Return the loss of one batch."""
        return self.net.loss((tokens, target))


class Module(L.LightningModule):
    """The same for the trainer."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Net()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of one batch."""
        loss: Tensor = self.net(*batch)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam."""
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def make_batches(count: int, rank: int) -> list[Batch]:
    """Return batches of this process."""
    generator = torch.Generator().manual_seed(1 + rank)
    return [
        (
            torch.randint(200, (64, 50), generator=generator),
            torch.randint(100, (64, 50), generator=generator),
        )
        for _ in range(count)
    ]


def loop(model: nn.Module, batches: list[Batch]) -> Block:
    """Return a function that runs a block in a plain loop, all processes beginning together, and returns its time."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def run() -> Times:
        started = begin()
        for tokens, target in batches:
            optimizer.zero_grad()
            model(tokens, target).backward()
            optimizer.step()
        return since(started)

    return run


def begin() -> Times:
    """Wait for the other processes and return the time."""
    dist.barrier()
    return time.perf_counter(), time.process_time()


def since(started: Times) -> Times:
    """Return the seconds since then."""
    return time.perf_counter() - started[0], time.process_time() - started[1]


class Alternating:
    """Batches for the trainer, as one long epoch; after every few of them the other loops take as many steps.

    What is timed is from handing out the first batch of a block to being asked for the next one after it: everything
    that the trainer does for its steps.
    """

    def __init__(self, batches: list[Batch], rounds: int, others: Callable[[], dict[str, Block]]) -> None:
        self.batches = batches
        self.rounds = rounds
        self.others = others
        self.times: dict[str, list[Times]] = {}

    def __len__(self) -> int:
        return len(self.batches) * self.rounds

    def __iter__(self) -> Iterator[Batch]:
        others = self.others()  # now the processes know each other
        names = list(others)
        for index in range(self.rounds):
            started = begin()
            yield from self.batches
            self.times.setdefault("trainer", []).append(since(started))
            # Every other time the other way round: what comes right after a pause is the same for all.
            for name in names if index % 2 else reversed(names):
                self.times.setdefault(name, []).append(others[name]())


def fit(strategy: Strategy, batches: Any, callbacks: list[L.Callback]) -> None:
    """Train one epoch under `strategy`."""
    with tempfile.TemporaryDirectory() as folder:
        L.Trainer(
            strategy=strategy,
            max_epochs=1,
            callbacks=callbacks,
            default_root_dir=folder,
            use_distributed_sampler=False,
            **{**OFF, "devices": PROCESSES},
        ).fit(Module(), batches)


def measure_speed(rank: int, rounds: int, steps: int) -> dict[str, dict[str, list[Times]]]:
    """Return the times of this process's blocks, by strategy and loop; neighbours have the same index."""
    batches = make_batches(steps, rank)

    def others() -> dict[str, Block]:
        wrapped = DistributedDataParallel(Net(), gradient_as_bucket_view=True)
        return {"torch": loop(wrapped, batches), "alone": loop(Net(), batches)}

    found = {}
    for name, strategy, share in (("ddp", DDPStrategy(), 1), ("zero", DDPStrategy(zero_stage=1), 4)):
        alternating = Alternating(batches, max(2, rounds // share), others)
        fit(strategy, alternating, [])
        found[name] = alternating.times
    return found


class Weigh(L.Callback):
    """Counts the bytes that this process holds after a step, before gradients are cleared."""

    def __init__(self) -> None:
        self.held: dict[str, int] = {}

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        """Count."""
        parameters = list(pl_module.parameters())
        self.held = weigh(parameters, trainer.optimizers[0])


def weigh(parameters: list[nn.Parameter], optimizer: torch.optim.Optimizer) -> dict[str, int]:
    """Return the bytes of parameters, gradients and optimizer state on this process."""
    state = [value for held in optimizer.state.values() for value in held.values()]
    parts: dict[str, list[Tensor]] = {
        "parameters": list(parameters),
        "gradients": [parameter.grad for parameter in parameters if parameter.grad is not None],
        "state": [value for value in state if isinstance(value, Tensor)],
    }
    return {name: sum(storages(tensors).values()) for name, tensors in parts.items()}


def storages(tensors: Iterable[Tensor]) -> dict[int, int]:
    """Return the bytes of each piece of memory in which this process's parts of the tensors are."""
    local = [tensor.to_local() if isinstance(tensor, DTensor) else tensor for tensor in tensors]
    return {part.untyped_storage().data_ptr(): part.untyped_storage().nbytes() for part in local}


def measure_memory(rank: int) -> dict[str, dict[str, int]]:
    """Return the bytes on this process under each strategy, and in one process that has everything."""
    batches = make_batches(2, rank)
    found = {}
    for name, strategy in {"fsdp": FSDPStrategy(), "zero": DDPStrategy(zero_stage=1)}.items():
        callback = Weigh()
        fit(strategy, Batches(batches), [callback])
        found[name] = callback.held
    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    model(*batches[0]).backward()
    optimizer.step()
    found["one"] = weigh(list(model.parameters()), optimizer)
    return found


def work(folder: Path, rounds: int, steps: int) -> None:
    """Measure in one of the processes and write what was found."""
    torch.set_num_threads(1)
    rank = int(os.environ["RANK"])
    found = {"times": measure_speed(rank, rounds, steps), "bytes": measure_memory(rank)}
    (folder / f"rank-{rank}.json").write_text(json.dumps(found))


def start(rounds: int, steps: int) -> list[dict[str, Any]]:
    """Return what each process measured."""
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={PROCESSES}", "--standalone"]
        command += ["-m", "benchmarks.scaling", "--work", name, "--rounds", str(rounds), "--steps", str(steps)]
        variables = {"OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
        run(command, os.environ | variables, timeout_s=60 + rounds * steps * 2)
        return [json.loads((Path(name) / f"rank-{rank}.json").read_text()) for rank in range(PROCESSES)]


def run(command: list[str], variables: Mapping[str, str], timeout_s: float) -> None:
    """Run a command; nothing that it started is left where it fails, hangs or is broken off.

    Raises:
        subprocess.TimeoutExpired: it took longer than `timeout_s`.
        subprocess.CalledProcessError: it failed.
    """
    process = subprocess.Popen(command, env=dict(variables))
    try:
        if code := process.wait(timeout_s):
            raise subprocess.CalledProcessError(code, command)
    finally:
        if process.poll() is None:  # torchrun's processes are in groups of their own
            kill_all([psutil.Process(process.pid), *descendants(process.pid)])
            process.wait()


@dataclass(frozen=True, slots=True)
class Blocks:
    """What blocks of steps took, by loop, without the first ones.

    Attributes:
        wall: seconds, each block as long as in its slowest process.
        cpu: CPU seconds of both processes.
        apart: blocks a second of two processes that do not wait for each other, which add up.
    """

    wall: dict[str, list[float]]
    cpu: dict[str, list[float]]
    apart: list[float]

    def ratios(self, kind: str = "wall") -> list[float]:
        """Return the trainer's time over plain torch's, of neighbouring blocks."""
        found: dict[str, list[float]] = getattr(self, kind)
        return [ours / plain for ours, plain in zip(found["trainer"], found["torch"], strict=True)]


def blocks_of(ranks: list[dict[str, Any]], strategy: str) -> Blocks:
    """Return what the processes measured of one strategy."""
    measured = [rank["times"][strategy] for rank in ranks]
    cold = max(1, len(measured[0]["trainer"]) // 8)
    pairs = {name: list(zip(*(one[name] for one in measured), strict=True))[cold:] for name in measured[0]}
    return Blocks(
        wall={name: [max(wall for wall, _ in block) for block in blocks] for name, blocks in pairs.items()},
        cpu={name: [sum(cpu for _, cpu in block) for block in blocks] for name, blocks in pairs.items()},
        apart=[sum(1 / wall for wall, _ in block) for block in pairs["alone"]],
    )


def summarise(ranks: list[dict[str, Any]], steps: int) -> dict[str, Any]:
    """Return medians over the blocks but the first ones."""
    ddp, zero = blocks_of(ranks, "ddp"), blocks_of(ranks, "zero")
    ratios = ddp.ratios()
    quartiles = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else [ratios[0]] * 3
    held = ranks[0]["bytes"]["one"]
    shares = [sum(rank["bytes"]["fsdp"].values()) / sum(held.values()) for rank in ranks]
    states = [rank["bytes"]["zero"]["state"] / held["state"] for rank in ranks]
    return {
        "step_ms": {name: statistics.median(blocks) / steps * 1e3 for name, blocks in ddp.wall.items()},
        "cpu_ms": {name: statistics.median(blocks) / steps * 1e3 / PROCESSES for name, blocks in ddp.cpu.items()},
        "ddp/torch": statistics.median(ratios),
        "ddp/torch quartiles": [quartiles[0], quartiles[2]],
        "ddp/torch cpu": statistics.median(ddp.ratios("cpu")),
        "efficiency": statistics.median(
            2 / wall / apart for wall, apart in zip(ddp.wall["trainer"], ddp.apart, strict=True)
        ),
        "zero/torch": statistics.median(zero.ratios()),
        "fsdp share": max(shares),
        "zero state share": max(states),
        "blocks": len(ratios),
    }


def missed(found: dict[str, Any]) -> list[str]:
    """Return the goals that were missed."""
    least = {"efficiency"}
    return [
        name for name, goal in TARGETS.items() if (found[name] < goal if name in least else found[name] > goal)
    ]  # fmt: skip


def main() -> int:
    """Measure, print, and return 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100, help="blocks of each loop")
    parser.add_argument("--steps", type=int, default=3, help="steps in a block")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work is not None:
        work(options.work, options.rounds, options.steps)
        return 0
    found = summarise(start(options.rounds, options.steps), options.steps)
    machine = f"{platform.system()} {platform.machine()}, {processor_name()}, torch {torch.__version__}, 1 thread each"
    if options.json:
        print(json.dumps({"machine": machine, "targets": TARGETS, **found}, indent=2))
        return int(bool(missed(found)))
    low, high = found["ddp/torch quartiles"]
    print(machine)
    for what, key in (("ms a step", "step_ms"), ("CPU ms a step and process", "cpu_ms")):
        print(f"{what}: " + ", ".join(f"{name} {value:.2f}" for name, value in found[key].items()))
    print(f"ddp beside plain torch: {found['ddp/torch']:.4f} (quartiles {low:.4f} to {high:.4f}), at most 1.01")
    print(f"the same in CPU time: {found['ddp/torch cpu']:.4f}")
    print(f"the same with zero_stage=1: {found['zero/torch']:.4f}")
    print(f"efficiency beside two processes apart: {found['efficiency']:.3f}, at least 0.85")
    print(f"bytes of one process under FSDP2: {found['fsdp share']:.3f} of the whole, at most 0.55")
    print(f"bytes of optimizer state under zero_stage=1: {found['zero state share']:.3f} of the whole")
    return int(bool(missed(found)))


if __name__ == "__main__":
    sys.exit(main())
