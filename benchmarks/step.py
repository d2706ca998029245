"""CPU time of one step: the trainer beside a bare torch loop of the same model.

Both run in one process on one thread, in blocks that alternate, so that a busy machine slows both alike. A block trains
on batches made beforehand; what is measured is CPU time, not wall time. Printed are the medians over the blocks and the
median of the ratios of neighbouring blocks.

    python -m benchmarks.step                         every case
    python -m benchmarks.step off log defaults        some of them, by name

The cases, with what they may cost at most as a multiple of the bare loop:

    off         Linear(32, 2), batches of 32, SGD, everything off                       1.25
    log         the same with one `self.log` a step                                     1.5
    defaults    progress bar, checkpoint and logger as they come, one `self.log`        1.75
    validation  a validation step with one `self.log`, beside a forward pass            3
    fabric      the same model in a loop of one's own under Fabric                      1.17
    tokens      Embedding, LSTM(128), Linear, 1600 tokens, everything off               1.02
    lstm        LSTM of 100 units over 200 steps, defaults, one `self.log`              1.02

Where `lightning` is installed it is measured too.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib.metadata
import importlib.util
import io
import json
import platform
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

import trainer as L
from benchmarks.machine import processor_name
from benchmarks.nets import Batch, Batches, bare_block, bare_validation, make_batches, make_model

COMPROMISED_LIGHTNING = ("2.6.2", "2.6.3")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is measured.

    Attributes:
        model: "linear", "tokens" or "lstm".
        target: the most that it may cost, as a multiple of the bare loop.
        logs: the step logs its loss.
        defaults: progress bar, checkpoints, logger and summary as they come.
        validates: validation steps are measured, not training steps.
        rounds: blocks of each loop.
        steps: steps in a block.
    """

    model: str = "linear"
    target: float
    logs: bool = False
    defaults: bool = False
    validates: bool = False
    rounds: int = 150
    steps: int = 100


CASES = {
    "off": Case(target=1.25),
    "log": Case(target=1.5, logs=True),
    "defaults": Case(target=1.75, logs=True, defaults=True),
    "validation": Case(target=3.0, logs=True, validates=True),
    "fabric": Case(target=1.17),
    "tokens": Case(model="tokens", target=1.02, rounds=40, steps=10),
    "lstm": Case(model="lstm", target=1.02, logs=True, defaults=True, rounds=12, steps=10),
}


def module_class(library: Any, case: Case) -> Any:
    """Return the model of `case` as a LightningModule of `library`, this one or Lightning."""

    class Module(library.LightningModule):  # type: ignore[misc]  # known at run time only
        def __init__(self) -> None:
            super().__init__()
            self.net = make_model(case.model)

        def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
            loss: Tensor = self.net.loss(batch)
            if case.logs and not case.validates:
                self.log("loss", loss)
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), lr=0.0 if case.validates else 0.01)

    class Validated(Module):
        def validation_step(self, batch: Batch, batch_idx: int) -> None:
            self.log("val_loss", self.net.loss(batch))

    return Validated if case.validates else Module


def clock_class(library: Any, case: Case) -> Any:
    """Return the clock as a callback of `library`."""

    class Training(library.Callback):  # type: ignore[misc]  # as above
        def __init__(self, clock: Clock) -> None:
            self.clock = clock

        def on_train_epoch_start(self, *_: Any) -> None:
            self.clock.begin()

        def on_train_epoch_end(self, *_: Any) -> None:
            self.clock.end()

    class Validation(library.Callback):  # type: ignore[misc]  # as above
        def __init__(self, clock: Clock) -> None:
            self.clock = clock

        def on_validation_epoch_start(self, *_: Any) -> None:
            self.clock.begin()

        def on_validation_epoch_end(self, *_: Any) -> None:
            self.clock.end()

    return Validation if case.validates else Training


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What was measured: CPU time of a step in microseconds, and the median ratio to the bare loop."""

    name: str
    step_us: float
    bare_us: float
    ratio: float
    equal_weights: bool


def measure(library: Any, label: str, case: Case, rounds: int) -> Result:
    """Return the cost of a step under `library`, this one or Lightning."""
    batches = make_batches(case.model, case.steps)
    bare, bare_model = (bare_validation if case.validates else bare_block)(case.model, batches)
    clock = Clock([timed(bare)])
    module = module_class(library, case)()
    options: dict[str, Any] = {"accelerator": "cpu", "devices": 1} if case.defaults else OFF
    loaders: list[Any] = [Batches(batches)]
    if case.validates:
        options = {**options, "limit_train_batches": 1}
        loaders.append(Batches(batches))
    with (
        warnings.catch_warnings(),
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        library.Trainer(
            max_epochs=rounds, callbacks=[clock_class(library, case)(clock)], default_root_dir=folder, **options
        ).fit(module, *loaders)
    return summarise(label, clock, case.steps, same_weights(module.net, bare_model))


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


def lightning_modules() -> tuple[Any, Any]:
    """Return Lightning and its Fabric, under either of its names."""
    if importlib.util.find_spec("lightning") is not None:
        import lightning.pytorch as pl
        from lightning.fabric import Fabric
    else:
        import pytorch_lightning as pl
        from lightning_fabric import Fabric
    return pl, Fabric


def measure_case(name: str, rounds: int | None) -> list[Result]:
    """Return the cost of one case under this library, then under Lightning where that is installed."""
    case = CASES[name]
    blocks = rounds or case.rounds
    version = lightning_version()
    if name == "fabric":
        results = [measure_fabric("Fabric", L.Fabric(accelerator="cpu", devices=1), blocks, case.steps)]
    else:
        results = [measure(L, "trainer", case, blocks)]
    if version is not None:
        label, fewer = f"lightning {version}", max(10, blocks // 4)
        library, fabric = lightning_modules()
        if name == "fabric":
            results.append(measure_fabric(label, fabric(accelerator="cpu", devices=1), fewer, case.steps))
        else:
            results.append(measure(library, label, case, fewer))
    return results


def main() -> int:
    """Measure, print, and return 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; all by default")
    parser.add_argument("--rounds", type=int, default=None, help="blocks of each loop")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    unknown = [name for name in options.cases if name not in CASES]
    if unknown:
        parser.error(f"no case {unknown[0]!r}; there are: {', '.join(CASES)}")
    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()
    machine = f"{platform.system()} {platform.machine()}, {processor_name()}, torch {torch.__version__}, 1 thread"
    if not options.json:
        print(machine)
    found: dict[str, list[Result]] = {}
    missed = False
    for name in options.cases or CASES:
        found[name] = measure_case(name, options.rounds)
        ours = found[name][0]
        missed |= ours.ratio > CASES[name].target or not ours.equal_weights
        if options.json:
            continue
        for result in found[name]:
            print(
                f"{name:<10} {result.name:<16} {result.step_us:9.1f} us a step, bare {result.bare_us:9.1f} us, "
                f"ratio {result.ratio:.3f}, weights {'equal' if result.equal_weights else 'DIFFERENT'}"
            )
        print(f"{'':<10} at most {CASES[name].target}")
    if options.json:
        rows = {
            name: {
                "target": CASES[name].target,
                "results": [{field: getattr(result, field) for field in Result.__slots__} for result in results],
            }
            for name, results in found.items()
        }
        print(json.dumps({"machine": machine, "cases": rows}, indent=2))
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
