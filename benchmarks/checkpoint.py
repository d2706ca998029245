"""What a sharded checkpoint costs: how long steps stand still, bytes a second, memory, and the comparison on reading.

Two processes (FSDP) train a model with Adam. In each round the same state is saved at once, beside the steps, and as
one whole file; the order changes from round to round. Printed are medians over the rounds.

    python -m benchmarks.checkpoint                   two processes, 192 MiB of weights and optimizer state
    python -m benchmarks.checkpoint --width 4096      four times as much

Targets: the stall of an asynchronous save at most 15 % of that of a synchronous one; comparing the digests at most
0.6 s of CPU time per GB.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.utils.data import DataLoader, TensorDataset

import trainer as L
from benchmarks.machine import processor_name
from trainer.checkpoints.sharded import manifest
from trainer.plugins import AsyncCheckpointIO
from trainer.strategies import FSDPStrategy

STALL_TARGET, COMPARE_TARGET = 0.15, 0.6
GB, MIB = 1e9, 1 << 20
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Model(L.LightningModule):
    """Square layers."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.net = nn.Sequential(*(nn.Linear(width, width) for _ in range(layers)))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return something to make smaller."""
        out: Tensor = self.net(batch[0]).square().mean()
        return out

    def configure_optimizers(self) -> Any:
        """Return Adam, whose state is twice the weights."""
        return torch.optim.Adam(self.parameters(), lr=1e-4)


@contextmanager
def peak_memory(found: list[int]) -> Iterator[None]:
    """Note by how many bytes the memory of this process grew at most inside the block."""

    def resident() -> int:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * _PAGE

    before, most, ended = resident(), [0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.002):
            most[0] = max(most[0], resident() - before)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        found.append(most[0])


class Measure(L.Callback):
    """Saves after steps in three ways, and notes what each took."""

    def __init__(self, folder: Path, rounds: int) -> None:
        self.folder, self.rounds = folder, rounds
        self.background = AsyncCheckpointIO()
        self.seconds: dict[str, list[float]] = {}
        self.memory: dict[str, list[int]] = {"sync": [], "async": [], "whole file": []}
        self.bytes = {"this process": 0, "checkpoint": 0, "state of this process": 0, "first asynchronous copy": 0}

    def note(self, name: str, seconds: float) -> None:
        """Keep a time."""
        self.seconds.setdefault(name, []).append(seconds)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Save in each way, once; the order changes."""
        ways: list[tuple[str, Callable[[Any, Path], None]]] = [
            ("sync", self.at_once),
            ("async", self.beside),
            ("whole file", self.whole),
        ]
        turn = batch_idx % 3
        for name, save in ways[turn:] + ways[:turn]:
            trainer.strategy.barrier()
            path = self.folder / f"{name.replace(' ', '-')}-{batch_idx}.ckpt"
            with peak_memory(self.memory[name]):
                save(trainer, path)
            trainer.strategy.barrier()
            if name == "sync":
                self.compare(trainer, path)
                trainer.strategy.barrier()
            if trainer.is_global_zero:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        if batch_idx == 0:  # it warms, and makes the copy whose memory is used again
            self.bytes["first asynchronous copy"] = self.memory["async"][0]
            self.seconds.clear()
            self.memory = {name: [] for name in self.memory}
        if batch_idx == self.rounds:
            self.background.teardown()
            trainer.should_stop = True

    def at_once(self, trainer: Any, path: Path) -> None:
        """Save a folder, and wait."""
        clock = time.perf_counter()
        trainer.save_checkpoint(path)
        self.note("sync", time.perf_counter() - clock)

    def beside(self, trainer: Any, path: Path) -> None:
        """Save a folder beside the steps."""
        trainer.plugins.checkpoint_io = self.background
        clock = time.perf_counter()
        trainer.save_checkpoint(path)
        self.note("async", time.perf_counter() - clock)
        self.background.wait()
        self.note("until written", time.perf_counter() - clock)
        trainer.plugins.checkpoint_io = None

    def whole(self, trainer: Any, path: Path) -> None:
        """Save one file with whole tensors."""
        trainer.strategy.saves_sharded = False
        clock = time.perf_counter()
        trainer.save_checkpoint(path)
        self.note("whole file", time.perf_counter() - clock)
        trainer.strategy.saves_sharded = True

    def compare(self, trainer: Any, path: Path) -> None:
        """Compare this process's part of a folder with its manifest."""
        found = manifest.read(path)
        mine = manifest.share(found.files, trainer.global_rank, trainer.world_size)
        clock = time.process_time()
        manifest.compare(path, found.files, mine)
        self.note("compared", time.process_time() - clock)
        self.bytes["this process"] = sum(found.files[name].size for name in mine)
        self.bytes["checkpoint"] = sum(entry.size for entry in found.files.values())
        states = [value for held in trainer.optimizers[0].state.values() for value in held.values()]
        tensors = [*trainer.lightning_module.parameters(), *states]
        local = [value.to_local() if isinstance(value, DTensor) else value for value in tensors]
        self.bytes["state of this process"] = sum(value.numel() * value.element_size() for value in local)


def report(ranks: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the figures over the processes: of times and memory, those of the slowest and largest."""
    seconds = {name: max(statistics.median(rank["seconds"][name]) for rank in ranks) for name in ranks[0]["seconds"]}
    ratios = [
        statistics.median(b / a for a, b in zip(rank["seconds"]["sync"], rank["seconds"]["async"], strict=True))
        for rank in ranks
    ]
    size = ranks[0]["bytes"]["checkpoint"]
    per_gb = [statistics.median(rank["seconds"]["compared"]) / (rank["bytes"]["this process"] / GB) for rank in ranks]
    return {
        "checkpoint_mib": size / MIB,
        "state_per_process_mib": max(rank["bytes"]["state of this process"] for rank in ranks) / MIB,
        "first_copy_mib": max(rank["bytes"]["first asynchronous copy"] for rank in ranks) / MIB,
        "seconds": seconds,
        "stall": max(ratios),
        "mb_per_s": size / 1e6 / seconds["sync"],
        "compare_s_per_gb": max(per_gb),
        "peak_memory_mib": {
            name: [statistics.median(rank["memory"][name]) / MIB for rank in ranks] for name in ranks[0]["memory"]
        },
    }


def main() -> int:
    """Measure, print, and return 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--devices", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = os.environ.setdefault("BENCHMARK_FOLDER", name)  # the second process has that of the first
        measure = Measure(Path(folder), options.rounds)
        trainer = L.Trainer(
            accelerator="cpu",
            devices=options.devices,
            strategy=FSDPStrategy(state_dict_type="sharded"),
            max_epochs=1,
            callbacks=[measure],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )  # fmt: skip
        torch.manual_seed(0)
        data = TensorDataset(torch.randn((options.rounds + 1) * 2 * options.devices, options.width))
        trainer.fit(Model(options.width, options.layers), DataLoader(data, batch_size=2))
        mine = {"seconds": measure.seconds, "memory": measure.memory, "bytes": measure.bytes}
        ranks = [json.loads(text) for text in trainer.strategy.gather_bytes(json.dumps(mine).encode())]
    if not trainer.is_global_zero:
        return 0
    found = report(ranks)
    machine = f"{platform.system()} {platform.machine()}, {processor_name()}, torch {torch.__version__}"
    is_missed = found["stall"] > STALL_TARGET or found["compare_s_per_gb"] > COMPARE_TARGET
    if options.json:
        print(json.dumps({"machine": machine, "rounds": options.rounds, **found}, indent=1))
        return int(is_missed)
    print(f"{options.devices} processes, {found['checkpoint_mib']:.0f} MiB in all, {options.rounds} rounds; {machine}")
    for name, value in found["seconds"].items():
        print(f"{name:<16} {value * 1e3:8.1f} ms")
    print(f"stall of an asynchronous save {found['stall']:.1%} of a synchronous one; at most {STALL_TARGET:.0%}")
    print(f"{found['mb_per_s']:.0f} MB/s written at once, with digests, flushed to the disk")
    print(f"comparing {found['compare_s_per_gb']:.2f} s of CPU per GB; at most {COMPARE_TARGET} s")
    print(f"memory beyond the run's own, by process, of {found['state_per_process_mib']:.0f} MiB of state each (MiB):")
    for name, values in found["peak_memory_mib"].items():
        print(f"  {name:<14} {', '.join(f'{value:.0f}' for value in values)}")
    print(f"  the first asynchronous one took {found['first_copy_mib']:.0f}, which it keeps for the next")
    return int(is_missed)


if __name__ == "__main__":
    sys.exit(main())
