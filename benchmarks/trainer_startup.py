"""What the trainer costs once: its import beyond torch's, making one and taking a step, and memory over many steps.

    python benchmarks/trainer_startup.py [--rounds 7] [--steps 100000] [--json]

Imports are whole processes in turn, CPU seconds; construction and one step are measured warm, in this process; memory
is the growth of this process's resident set over the steps after a tenth of them, with a value logged at every step.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import torch
from torch import Tensor, nn

import trainer as L
from benchmarks.nets import Batches
from benchmarks.step import OFF

LIMITS = {"import_s": 0.15, "construct_and_step_ms": 3.0, "memory_mb": 5.0}
TITLES = {
    "import_s": ("import beyond torch's, CPU", "s"),
    "construct_and_step_ms": ("one trainer and one step, warm, CPU", "ms"),
    "memory_mb": ("growth of the resident set", "MB"),
}
NAMES = "from trainer import Callback, LightningDataModule, LightningModule, Trainer, callbacks, loggers, strategies"


class Net(L.LightningModule):
    """The smallest model, which logs its loss."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(32, 2)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        """Return the loss."""
        loss = self.layer(batch).square().mean()
        self.log("loss", loss)
        return loss  # type: ignore[no-any-return]  # nn.Module calls are untyped

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return plain gradient descent."""
        return torch.optim.SGD(self.parameters(), lr=0.01)


class Memory(L.Callback):
    """Notes the resident set after a tenth of the steps and at the end."""

    def __init__(self, steps: int) -> None:
        self.after = steps // 10
        self.first_mb = 0.0
        self.last_mb = 0.0

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Read it once."""
        if trainer.global_step == self.after:
            self.first_mb = resident_mb()

    def on_train_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Read it again."""
        self.last_mb = resident_mb()


def resident_mb() -> float:
    """Return the resident set of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def cpu_seconds(code: str) -> float:
    """Return the CPU seconds of a Python process that runs `code`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def imports(rounds: int) -> float:
    """Return the median of the differences of neighbouring imports."""
    cpu_seconds(NAMES)
    return statistics.median(cpu_seconds(f"import torch; {NAMES}") - cpu_seconds("import torch") for _ in range(rounds))


def construct_and_step(rounds: int) -> float:
    """Return the median milliseconds of CPU for making a trainer and one step of a fit."""
    batches = Batches([torch.ones(32, 32)])  # type: ignore[list-item]  # any batch
    times = []
    for _ in range(rounds * 5):
        module = Net()
        started = time.thread_time()
        L.Trainer(max_steps=1, **OFF).fit(module, batches)
        times.append((time.thread_time() - started) * 1e3)
    return statistics.median(times[5:])


def memory(steps: int) -> float:
    """Return by how many MB the resident set grew."""
    watch = Memory(steps)
    batches = Batches([torch.ones(32, 32)] * 1000)  # type: ignore[list-item]  # as above
    with tempfile.TemporaryDirectory() as folder:
        options = {**OFF, "logger": L.loggers.CSVLogger(folder)}
        L.Trainer(max_steps=steps, max_epochs=-1, callbacks=watch, **options).fit(Net(), batches)
    return watch.last_mb - watch.first_mb


def main() -> int:
    """Measure, print, and return 1 where a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = {
        "import_s": imports(options.rounds),
        "construct_and_step_ms": construct_and_step(options.rounds),
        "memory_mb": memory(options.steps),
    }
    if options.json:
        print(json.dumps({"found": found, "limits": LIMITS}, indent=1))
    else:
        for name, (title, unit) in TITLES.items():
            print(f"{title:<36} {found[name]:7.3f} {unit:<2}  (limit {LIMITS[name]})")
    return int(any(found[name] > limit for name, limit in LIMITS.items()))


if __name__ == "__main__":
    sys.exit(main())
