"""Logging how much is done in a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from trainer.callbacks.evaluation_stages import EvaluationStages
from trainer.loops.state import EVAL_STAGES, RunningStage
from trainer.types import Batch, EvalKind, StepOutput
from trainer.utilities.throughput import Throughput, get_available_flops

if TYPE_CHECKING:
    from trainer.module import LightningModule
    from trainer.trainer import Trainer

_DTYPES = {"64": torch.float64, "16": torch.float16, "bf16": torch.bfloat16}


@dataclass(slots=True)
class _Count:
    """What was done in a stage since its start."""

    throughput: Throughput
    started_s: float = 0.0
    ended_s: float = 0.0
    batches: int = 0
    samples: int = 0
    lengths: int = 0


class ThroughputMonitor(EvaluationStages):
    """Passes samples, items and operations per second to the loggers; see `trainer.utilities.Throughput`.

    In training at the steps that are logged, in other stages at their end; names begin with the stage, as
    "train/device/samples_per_sec". The time of validation does not count as time of training. A device is waited for
    only where values are logged. A model that has `flops_per_batch` gets its operations counted
    (`trainer.utilities.measure_flops` finds them).

    Args:
        batch_size_fn: function that returns the number of samples in a batch.
        length_fn: function that returns the number of items (tokens, steps) in a batch.
        kwargs: arguments of `Throughput`: `window_size`, `separator`.
    """

    def __init__(
        self, batch_size_fn: Callable[[Any], int], length_fn: Callable[[Any], int] | None = None, **kwargs: Any
    ) -> None:
        self.kwargs = kwargs
        self.batch_size_fn = batch_size_fn
        self.length_fn = length_fn
        self.available_flops: float | None = None
        self._counts: dict[RunningStage, _Count] = {}

    def _start(self, trainer: Trainer, stage: RunningStage) -> None:
        if stage not in self._counts or trainer.is_fitting:
            dtype = _DTYPES.get(trainer.precision.split("-")[0], torch.float32)
            self.available_flops = get_available_flops(trainer.strategy.device, dtype)
            options = {"available_flops": self.available_flops, "world_size": trainer.world_size, **self.kwargs}
            self._counts[stage] = _Count(Throughput(**options))
        count = self._counts[stage]
        # A stage that runs again goes on after the time it had used.
        count.started_s = time.perf_counter() - (count.ended_s - count.started_s)

    def _update(self, trainer: Trainer, pl_module: LightningModule, stage: RunningStage, batch: Batch) -> None:
        count = self._counts[stage]
        with torch.no_grad():
            count.samples += int(self.batch_size_fn(batch))
            count.lengths += int(self.length_fn(batch)) if self.length_fn is not None else 0
        count.batches += 1
        if self._is_logged(trainer, stage) and trainer.strategy.device.type == "cuda":
            torch.cuda.synchronize(trainer.strategy.device)
        count.ended_s = time.perf_counter()
        count.throughput.update(
            time=count.ended_s - count.started_s,
            batches=count.batches,
            samples=count.samples,
            lengths=None if self.length_fn is None else count.lengths,
            flops=getattr(pl_module, "flops_per_batch", None),
        )

    @staticmethod
    def _is_logged(trainer: Trainer, stage: RunningStage) -> bool:
        every, state = trainer.reporting.log_every_n_steps, trainer.train_state
        if stage is not RunningStage.TRAINING:
            return False
        return every > 0 and state.window_batches == 0 and state.stepped_batches % every == 0

    def _log(self, trainer: Trainer, stage: RunningStage, step: int) -> None:
        throughput = self._counts[stage].throughput
        metrics = throughput.compute()
        trainer.log_values({f"{stage.value}{throughput.separator}{k}": v for k, v in metrics.items()}, step)

    # Training

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._start(trainer, RunningStage.TRAINING)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: StepOutput, batch: Batch, batch_idx: int
    ) -> None:
        """Count the batch."""
        if trainer.is_global_zero:
            self._update(trainer, pl_module, RunningStage.TRAINING, batch)
            if self._is_logged(trainer, RunningStage.TRAINING):
                self._log(trainer, RunningStage.TRAINING, trainer.train_state.stepped_batches - 1)

    # Other stages

    def evaluation_start(self, trainer: Trainer, kind: EvalKind) -> None:
        """Start the clock."""
        if not trainer.is_sanity_checking:
            self._start(trainer, EVAL_STAGES[kind])

    def evaluation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, kind: EvalKind, batch: Batch, batch_idx: int
    ) -> None:
        """Count the batch."""
        if trainer.is_global_zero and not trainer.is_sanity_checking:
            self._update(trainer, pl_module, EVAL_STAGES[kind], batch)

    def evaluation_end(self, trainer: Trainer, kind: EvalKind) -> None:
        """Log, and take the time since the last training batch out of the time of training."""
        if trainer.is_sanity_checking:
            return
        stage = EVAL_STAGES[kind]
        if trainer.is_global_zero and self._counts[stage].batches:
            stepped = trainer.train_state.stepped_batches
            self._log(trainer, stage, max(0, stepped - 1) if trainer.is_fitting else stepped)
        training = self._counts.get(RunningStage.TRAINING)
        if trainer.is_fitting and training is not None and training.batches:
            pause_s = time.perf_counter() - training.ended_s
            training.started_s += pause_s
            training.ended_s += pause_s
