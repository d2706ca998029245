"""CPU time of a training step of the knowledge-tracing model: the trainer beside a bare torch loop.

    python -m benchmarks.tracing_step [--rounds 30] [--steps 10] [--json]

Both do the same work on the same batches (1,600 steps, as the small configuration): loss, backward, clipping, fused
AdamW, one-cycle rate. The trainer logs the loss besides. At most 1.02 times the bare loop.
"""

import argparse
import json
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch

import trainer as L
from benchmarks.machine import processor_name
from benchmarks.nets import Batches
from benchmarks.step import OFF, Case, Clock, Result, clock_class, same_weights, summarise, timed
from flows.knowledge_tracing.config import DktConfig
from flows.knowledge_tracing.model import DeepKnowledgeTracing

TARGET = 1.02
LEARNING_RATE = 1e-3
STUDENTS, STEPS = 32, 50
Batch = dict[str, torch.Tensor]


class Bare(DeepKnowledgeTracing):
    """The model without a trainer to log to."""

    def log(self, *args: Any, **kwargs: Any) -> None:
        """Do nothing."""


def make(kind: type[DeepKnowledgeTracing]) -> DeepKnowledgeTracing:
    """Return the model, always with the same weights; nothing in it is random, so that both loops can be compared."""
    torch.manual_seed(0)
    return kind(items=2, skills=112, max_skills=1, network=asdict(DktConfig(dropout=0.0, unknown_share=0.0)))


def make_batches(count: int) -> list[Batch]:
    """Return `count` random batches of 32 students with 50 steps each."""
    model = make(Bare)
    found = [model.export_inputs(STUDENTS, STEPS, seed) for seed in range(count)]
    mask = torch.ones(STUDENTS, STEPS, dtype=torch.bool)
    return [{**{n: v.int() if v.dtype == torch.int64 else v for n, v in b.items()}, "mask": mask} for b in found]


def optimizers(model: DeepKnowledgeTracing, total: int) -> tuple[torch.optim.Optimizer, Any]:
    """Return the optimizer and schedule of both loops."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, fused=True)
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=LEARNING_RATE, total_steps=total)


class Ours(DeepKnowledgeTracing):
    """The model under the trainer, with the optimizer of the bare loop."""

    total_steps = 1

    def configure_optimizers(self) -> dict[str, Any]:
        """Return what `optimizers` makes."""
        optimizer, schedule = optimizers(self, self.total_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def bare_loop(batches: list[Batch], total: int) -> tuple[Callable[[], None], DeepKnowledgeTracing]:
    """Return a function that runs one block in a plain loop, and its model."""
    model = make(Bare)
    optimizer, schedule = optimizers(model, total)

    def run() -> None:
        for batch in batches:
            optimizer.zero_grad()
            loss = model.training_step(batch, 0)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()

    return run, model


def measure(rounds: int, steps: int) -> Result:
    """Return the cost of the trainer's step."""
    batches = make_batches(steps)
    run, bare = bare_loop(batches, rounds * steps)
    clock = Clock([timed(run)])
    Ours.total_steps = rounds * steps
    model = make(Ours)
    fitter = L.Trainer(
        max_epochs=rounds, gradient_clip_val=1.0, callbacks=clock_class(L, Case(target=TARGET))(clock), **OFF
    )
    fitter.fit(model, Batches(batches))  # type: ignore[arg-type]  # any iterable of batches
    return summarise("trainer", clock, steps, same_weights(model, bare))


def main() -> int:
    """Measure, print, and return 1 where the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    result = measure(options.rounds, options.steps)
    machine = f"{platform.system()} {platform.machine()}, {processor_name()}, torch {torch.__version__}, 1 thread"
    if options.json:
        print(json.dumps({"machine": machine, "target": TARGET, **asdict(result)}, indent=1))
    else:
        print(f"knowledge tracing: {options.rounds} rounds of {options.steps} steps; {machine}")
        print(
            f"{result.name:<18} {result.step_us:9.1f} us a step, bare {result.bare_us:9.1f} us, ratio "
            f"{result.ratio:.3f}, weights {'equal' if result.equal_weights else 'DIFFERENT'}\ntarget: at most {TARGET}"
        )
    return int(result.ratio > TARGET or not result.equal_weights)


if __name__ == "__main__":
    sys.exit(main())
