"""CPU time of one training step: the trainer beside a bare torch loop of the same model.

Both run in one process on one thread, in blocks that alternate, so that a busy machine slows both alike. A block trains
on batches made beforehand; what is measured is CPU time, not wall time. Printed are the medians over the blocks and the
median of the ratios of neighbouring blocks.

    python benchmarks/step.py                 Linear(32, 2), batches of 32, SGD: at most 1.25 times the bare loop
    python benchmarks/step.py --model lstm    Embedding, LSTM(128), Linear, 1600 tokens: at most 1.02 times
    python benchmarks/step.py --fabric        the linear model in a loop of one's own under Fabric: at most 1.17 times

Where `lightning` is installed it is measured too.
"""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import importlib.util
import json
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

import trainer as L

TARGETS = {"linear": 1.25, "lstm": 1.02}
FABRIC_TARGET = 1.17
COMPROMISED_LIGHTNING = ("2.6.2", "2.6.3")
Batch = tuple[Tensor, Tensor]


class LinearNet(nn.Module):
    """The smallest model: everything that is measured is overhead."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(32, 2)

    def loss(self, batch: Batch) -> Tensor:
        """Return the loss of a batch of 32 samples."""
        features, target = batch
        return functional.mse_loss(self.layer(features), target)


class SequenceNet(nn.Module):
    """A model of the size of knowledge tracing: 32 students, 50 steps each."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(200, 128)
        self.lstm = nn.LSTM(128, 128, batch_first=True)
        self.head = nn.Linear(128, 100)

    def loss(self, batch: Batch) -> Tensor:
        """Return the loss of a batch of token ids and targets, both of shape (32, 50)."""
        tokens, target = batch
        states, _ = self.lstm(self.embedding(tokens))
        return functional.cross_entropy(self.head(states).flatten(0, 1), target.flatten())


def make_model(name: str) -> LinearNet | SequenceNet:
    """Return the model called `name`, always with the same weights."""
    torch.manual_seed(0)
    return LinearNet() if name == "linear" else SequenceNet()


def make_batches(name: str, count: int) -> list[Batch]:
    """Return `count` batches for the model called `name`."""
    generator = torch.Generator().manual_seed(1)
    if name == "linear":
        return [
            (torch.randn(32, 32, generator=generator), torch.randn(32, 2, generator=generator)) for _ in range(count)
        ]
    return [
        (
            torch.randint(200, (32, 50), generator=generator),
            torch.randint(100, (32, 50), generator=generator),
        )
        for _ in range(count)
    ]


class Batches:
    """An iterable of batches with a length; no loader's work is measured."""

    def __init__(self, batches: list[Batch]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Batch]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def bare_block(name: str, batches: list[Batch]) -> tuple[Callable[[], None], nn.Module]:
    """Return a function that runs one block in a plain loop, and its model."""
    model = make_model(name)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    def run() -> None:
        for batch in batches:
            optimizer.zero_grad()
            loss = model.loss(batch)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimizer.step()

    return run, model


class OurModule(L.LightningModule):
    """The same model under this trainer."""

    def __init__(self, net: LinearNet | SequenceNet) -> None:
        super().__init__()
        self.net = net

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss."""
        return self.net.loss(batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer of the bare loop."""
        return torch.optim.SGD(self.parameters(), lr=0.01)


OFF: dict[str, Any] = {
    "accelerator": "cpu",
    "devices": 1,
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "num_sanity_val_steps": 0,
}


class Clock:
    """A callback that notes CPU time where epochs begin and end, and lets other loops run in between.

    One fit of many epochs is one block each: what a fit costs once is not part of a step.
    """

    def __init__(self, others: list[Callable[[], float]]) -> None:
        self.others = others
        self.blocks: list[float] = []
        self.other_blocks: list[list[float]] = []
        self._started = 0.0

    def begin(self) -> None:
        """Start the block."""
        self._started = time.thread_time()

    def end(self) -> None:
        """End the block and run the others."""
        self.blocks.append(time.thread_time() - self._started)
        self.other_blocks.append([run() for run in self.others])


def timed(run: Callable[[], None]) -> Callable[[], float]:
    """Return a function that runs `run` and returns its CPU time in seconds."""

    def measure() -> float:
        started = time.thread_time()
        run()
        return time.thread_time() - started

    return measure


class OurClock(L.Callback):
    """The clock as a callback of this trainer."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the block."""
        self.clock.begin()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """End the block."""
        self.clock.end()


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What was measured: CPU time of a step in microseconds, and the median ratio to the bare loop."""

    name: str
    step_us: float
    bare_us: float
    ratio: float
    equal_weights: bool


def measure_ours(name: str, rounds: int, steps: int) -> Result:
    """Return the cost of this trainer's step."""
    batches = make_batches(name, steps)
    bare, bare_model = bare_block(name, batches)
    clock = Clock([timed(bare)])
    module = OurModule(make_model(name))
    trainer = L.Trainer(max_epochs=rounds, callbacks=OurClock(clock), **OFF)
    trainer.fit(module, Batches(batches))
    return summarise("trainer", clock, steps, same_weights(module.net, bare_model))


def plain_loop(
    model: nn.Module, optimizer: torch.optim.Optimizer, backward: Callable[[Tensor], object], batches: list[Batch]
) -> Callable[[], None]:
    """Return a function that runs one block of a loop as one writes it for Fabric."""

    def run() -> None:
        for features, target in batches:
            optimizer.zero_grad()
            backward(functional.mse_loss(model(features), target))
            optimizer.step()

    return run


def measure_fabric(name: str, fabric: Any, rounds: int, steps: int) -> Result:
    """Return the cost of a step under `fabric`, ours or Lightning's, beside the same loop without it."""
    batches = make_batches("linear", steps)
    models = []
    loops = []
    for is_bare in (False, True):
        torch.manual_seed(0)
        model: nn.Module = nn.Linear(32, 2)
        models.append(model)
        optimizer: Any = torch.optim.SGD(model.parameters(), lr=0.01)
        if not is_bare:
            model, optimizer = fabric.setup(model, optimizer)
        loops.append(timed(plain_loop(model, optimizer, Tensor.backward if is_bare else fabric.backward, batches)))
    clock = Clock([loops[1]])
    for _ in range(rounds):
        clock.blocks.append(loops[0]())
        clock.other_blocks.append([loops[1]()])
    return summarise(name, clock, steps, same_weights(models[0], models[1]))


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    """Return whether both models end with exactly the same weights."""
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(left, right) for left, right in pairs)


def summarise(name: str, clock: Clock, steps: int, equal_weights: bool) -> Result:
    """Return the medians, without the first tenth of the blocks, in which everything is still cold."""
    cold = max(1, len(clock.blocks) // 10)
    ours = clock.blocks[cold:]
    bare = [block[0] for block in clock.other_blocks[cold:]]
    return Result(
        name=name,
        step_us=statistics.median(ours) / steps * 1e6,
        bare_us=statistics.median(bare) / steps * 1e6,
        ratio=statistics.median(one / other for one, other in zip(ours, bare, strict=True)),
        equal_weights=equal_weights,
    )


def lightning_version() -> str | None:
    """Return the installed version of Lightning, None where there is none that may be used."""
    for package in ("lightning", "pytorch-lightning"):
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
        if version in COMPROMISED_LIGHTNING:
            sys.exit(f"{package} {version} is a compromised release. Remove it; any other version will do.")
        return version
    return None


def measure_lightning(name: str, rounds: int, steps: int) -> Result:
    """Return the cost of Lightning's step, with everything off too."""
    if importlib.util.find_spec("lightning") is not None:
        import lightning.pytorch as pl
    else:
        import pytorch_lightning as pl  # type: ignore[import-not-found]  # the same library under its other name
    batches = make_batches(name, steps)
    bare, bare_model = bare_block(name, batches)
    clock = Clock([timed(bare)])

    class Module(pl.LightningModule):  # type: ignore[misc]  # Lightning is not installed for type checks
        def __init__(self) -> None:
            super().__init__()
            self.net = make_model(name)

        def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
            return self.net.loss(batch)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.01)

    class Blocks(pl.Callback):  # type: ignore[misc]  # as above
        def on_train_epoch_start(self, *_: Any) -> None:
            clock.begin()

        def on_train_epoch_end(self, *_: Any) -> None:
            clock.end()

    module = Module()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pl.Trainer(max_epochs=rounds, callbacks=[Blocks()], **OFF).fit(module, Batches(batches))
    return summarise(f"lightning {lightning_version()}", clock, steps, same_weights(module.net, bare_model))


def processor_name() -> str:
    """Return the processor's name, where the system tells."""
    try:
        with open("/proc/cpuinfo") as file:
            return next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "unknown")
    except OSError:
        return platform.processor() or "unknown"


def main() -> int:
    """Measure, print, and return 1 where the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=sorted(TARGETS), default="linear")
    parser.add_argument("--fabric", action="store_true", help="measure Fabric, on the linear model")
    parser.add_argument("--rounds", type=int, default=None, help="blocks of each loop")
    parser.add_argument("--steps", type=int, default=None, help="steps in a block")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()
    rounds = options.rounds or (200 if options.model == "linear" else 40)
    steps = options.steps or (100 if options.model == "linear" else 10)
    if options.fabric:
        results = [measure_fabric("Fabric", L.Fabric(accelerator="cpu", devices=1), rounds, steps)]
        if lightning_version() is not None:
            from lightning.fabric import Fabric

            other = Fabric(accelerator="cpu", devices=1)
            results.append(measure_fabric(f"lightning {lightning_version()}", other, rounds, steps))
    else:
        results = [measure_ours(options.model, rounds, steps)]
        if lightning_version() is not None:
            results.append(measure_lightning(options.model, max(10, rounds // 4), steps))
    target = FABRIC_TARGET if options.fabric else TARGETS[options.model]
    machine = f"{platform.system()} {platform.machine()}, {processor_name()}, torch {torch.__version__}, 1 thread"
    if options.json:
        rows = [{field: getattr(result, field) for field in Result.__slots__} for result in results]
        print(json.dumps({"model": options.model, "machine": machine, "target": target, "results": rows}, indent=2))
    else:
        print(f"{options.model}: {rounds} rounds of {steps} steps; {machine}")
        for result in results:
            print(
                f"{result.name:<18} {result.step_us:9.1f} us a step, bare {result.bare_us:9.1f} us, "
                f"ratio {result.ratio:.3f}, weights {'equal' if result.equal_weights else 'DIFFERENT'}"
            )
        print(f"target: at most {target}")
    return int(results[0].ratio > target or not results[0].equal_weights)


if __name__ == "__main__":
    sys.exit(main())
