"""Training interactions per CPU second: knowledge tracing as homeroom trains it, beside two loops written plainly.

    HOMEROOM_DATA=DATA python -m benchmarks.tracing_speed [--rounds 9] [--steps 40] [--json]

On assist2015 (mean length 34) and assist2009_updated (64), fold 1. Ours is the whole of it: loader over mapped arrays,
data module, model of the small configuration, trainer, clipping, schedule. Beside it, in blocks that alternate in one
process on one thread, both with the same hidden size and as many students in a step:

- `published`: the usual code of papers: every sequence padded to 200, one-hot answers (2 x skills) into an LSTM, a
  sigmoid for every skill at every step, the asked one picked with a one-hot product, Adam. Batches are ready-made.
- `bare`: the same batches as ours, ready-made: an embedding of skill and answer, `nn.LSTM` over every step as in
  `published`, one output row per step, no difficulty, no dropout, no skill sets, no clipping, no trainer, fused AdamW.

Targets: 5 times `published` where sequences are short (assist2015), 2.5 times at a mean of 69 (assist2009_updated), and
at least 0.9 times `bare`.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

import trainer as L
from benchmarks.machine import processor_name
from benchmarks.quality import SETS, prepare
from benchmarks.step import OFF
from components.sequences.loader import WindowLoader
from components.sequences.windows import Windows
from flows.knowledge_tracing.config import KnowledgeTracingTrainConfig
from flows.knowledge_tracing.data import ARRAYS, KnowledgeTracingData
from flows.knowledge_tracing.model import DeepKnowledgeTracing
from flows.settings import Settings
from flows.stages import open_application

TARGETS = {"assist2015": {"published": 5.0, "bare": 0.9}, "assist2009_updated": {"published": 2.5, "bare": 0.9}}
PADDED_STEPS = 200
Batch = dict[str, Tensor]


class PublishedDkt(nn.Module):
    """DKT as in the published code: one-hot in, every skill out."""

    def __init__(self, skills: int, hidden: int) -> None:
        super().__init__()
        self.skills = skills
        self.lstm = nn.LSTM(2 * skills, hidden, batch_first=True)
        self.head = nn.Linear(hidden, skills)

    def loss(self, batch: Batch) -> Tensor:
        """Return the loss of padded skills, responses and mask, each (B, 200)."""
        skills, answers = batch["skills"], batch["responses"]
        answered = functional.one_hot(skills + self.skills * answers.long(), 2 * self.skills).float()
        states, _ = self.lstm(answered)
        every = torch.sigmoid(self.head(states))
        asked = functional.one_hot(skills[:, 1:], self.skills).float()
        probability = (every[:, :-1] * asked).sum(-1)
        real = batch["mask"][:, 1:]
        return functional.binary_cross_entropy(probability[real], answers[:, 1:][real])


class BareDkt(nn.Module):
    """Embedding, nn.LSTM, one output row per step."""

    def __init__(self, skills: int, hidden: int) -> None:
        super().__init__()
        self.skills = skills
        self.embedding = nn.Embedding(2 * skills, hidden)
        self.lstm = nn.LSTM(hidden, hidden, batch_first=True)
        self.rows = nn.Embedding(skills, hidden)

    def loss(self, batch: Batch) -> Tensor:
        """Return the loss of skills, responses and mask, each (B, T)."""
        skills, answers = batch["skills"], batch["responses"]
        states, _ = self.lstm(self.embedding(skills + self.skills * answers.long()))
        logits = (states[:, :-1] * self.rows(skills[:, 1:])).sum(-1)
        losses = functional.binary_cross_entropy_with_logits(logits, answers[:, 1:], reduction="none")
        real = batch["mask"][:, 1:]
        return (losses * real).sum() / real.sum()


@dataclass(frozen=True, slots=True)
class Block:
    """What a block did: interactions, and CPU seconds."""

    interactions: int
    seconds: float

    @property
    def rate(self) -> float:
        """Interactions per CPU second."""
        return self.interactions / self.seconds


def loop(
    model: PublishedDkt | BareDkt, optimizer: torch.optim.Optimizer, batches: Iterator[Batch]
) -> Callable[[int], Block]:
    """Return a function that trains `model` on the next few ready batches."""

    def run(steps: int) -> Block:
        ready = [next(batches) for _ in range(steps)]
        started = time.thread_time()
        for batch in ready:
            optimizer.zero_grad()
            loss = model.loss(batch)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimizer.step()
        seconds = time.thread_time() - started
        return Block(sum(int(b["mask"].sum()) for b in ready), seconds)

    return run


def first_skill(batch: Batch) -> Batch:
    """Return what the plain loops read of one of our batches."""
    return {"skills": batch["skills"][..., 0].long(), "responses": batch["responses"], "mask": batch["mask"]}


def ready(windows: Windows, loader: WindowLoader) -> Iterator[Batch]:
    """Yield our own batches, epoch after epoch."""
    for epoch in range(1_000_000):
        loader.set_epoch(epoch)
        for batch in loader:
            yield first_skill(batch)


def padded(windows: Windows, students: int) -> Iterator[Batch]:
    """Yield shuffled batches of `students` windows, each padded to 200 steps."""
    source = torch.Generator().manual_seed(0)
    while True:
        order = torch.randperm(len(windows.starts_W), generator=source).numpy()
        for at in range(0, len(order) - students, students):
            batch = first_skill(windows.batch(order[at : at + students]))
            short = PADDED_STEPS - batch["mask"].shape[1]
            yield {name: functional.pad(value, (0, short)) for name, value in batch.items()}


class Blocks(L.Callback):
    """Times each epoch, and lets the other loops run after it."""

    def __init__(self, others: dict[str, Callable[[int], Block]], steps: int) -> None:
        self.others = others
        self.steps = steps
        self.found: dict[str, list[Block]] = {"homeroom": [], **{name: [] for name in others}}
        self._started = 0.0
        self._seen = 0

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the block."""
        self._seen = 0
        self._started = time.thread_time()

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Count the batch's interactions."""
        self._seen += int(batch["mask"].sum())

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """End the block and run the others."""
        self.found["homeroom"].append(Block(self._seen, time.thread_time() - self._started))
        for name, run in self.others.items():
            self.found[name].append(run(self.steps))


def measure(folder: Path, rounds: int, steps: int) -> dict[str, Any]:
    """Return rates and ratios, medians over the rounds but the first."""
    config = KnowledgeTracingTrainConfig(threads=1)
    L.seed_everything(0, verbose=False)
    data = KnowledgeTracingData.for_training(folder, config)
    model = DeepKnowledgeTracing.for_training(folder, config)
    windows = Windows.open(folder, "train", ARRAYS)
    loader = WindowLoader(windows, config.batch_steps, seed=1)
    students = round(len(windows.starts_W) / len(loader))
    skills, hidden = model.skills, config.model.hidden
    published, bare = PublishedDkt(skills, hidden), BareDkt(skills, hidden)
    blocks = Blocks(
        {
            "published": loop(published, torch.optim.Adam(published.parameters(), lr=1e-3), padded(windows, students)),
            "bare": loop(bare, torch.optim.AdamW(bare.parameters(), lr=1e-3, fused=True), ready(windows, loader)),
        },
        steps,
    )
    fitter = L.Trainer(
        max_epochs=rounds + 1,
        limit_train_batches=steps,
        limit_val_batches=0,
        gradient_clip_val=config.gradient_clip_val or None,
        callbacks=blocks,
        **OFF,
    )
    fitter.fit(model, datamodule=data)
    kept = {name: found[1:] for name, found in blocks.found.items()}
    rates = {name: statistics.median(b.rate for b in found) for name, found in kept.items()}
    ratios = {
        name: statistics.median(
            ours.rate / other.rate for ours, other in zip(kept["homeroom"], kept[name], strict=True)
        )
        for name in blocks.others
    }
    return {
        "mean_length": float(windows.lengths_W.mean()),
        "students_per_step": students,
        "interactions_per_cpu_s": rates,
        "ratio": ratios,
    }


def main() -> int:
    """Measure, print, and return 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if "HOMEROOM_DATA" not in os.environ:
        parser.error("HOMEROOM_DATA is not set; name the folder with the education data")
    torch.set_num_threads(1)
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as name:
        settings = Settings(store=f"{name}/store", cache=Path(name, "cache"), keys=Path(name, "keys"))
        for chosen in TARGETS:
            run, config = open_application("knowledge_tracing", "small", settings=settings)
            data = prepare(SETS[chosen], Path(os.environ["HOMEROOM_DATA"]), run, config)
            results[chosen] = measure(run.store.folder(data), options.rounds, options.steps)
    machine = f"{platform.system()} {platform.machine()}, {processor_name()}, torch {torch.__version__}, 1 thread"
    if options.json:
        print(json.dumps({"machine": machine, "targets": TARGETS, "results": results}, indent=1))
    else:
        print(machine)
        for chosen, found in results.items():
            print(f"{chosen}: mean length {found['mean_length']:.0f}, {found['students_per_step']} students in a step")
            for loop_name, rate in found["interactions_per_cpu_s"].items():
                print(f"  {loop_name:<10} {rate:10,.0f} interactions per CPU s")
            for loop_name, ratio in found["ratio"].items():
                print(f"  homeroom / {loop_name:<10} {ratio:6.2f}; target: at least {TARGETS[chosen][loop_name]}")
    return int(any(results[c]["ratio"][n] < least for c, wanted in TARGETS.items() for n, least in wanted.items()))


if __name__ == "__main__":
    sys.exit(main())
