"""Ending a fit after a length of time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from trainer.callback import Callback
from trainer.configuration.options import read_duration
from trainer.errors import MisconfigurationException, four_parts
from trainer.loops.state import RunningStage
from trainer.types import Batch, PlainState, StepOutput

if TYPE_CHECKING:
    from trainer.module import LightningModule
    from trainer.trainer import Trainer


class Timer(Callback):
    """Measures training, validation and test, and asks the fit to stop after `duration` of training over all resumes.

    Args:
        duration: how long, as "DD:HH:MM:SS", a timedelta or a dict; None only measures.
        interval: look at the clock after every "step" or every "epoch".
        verbose: print when the time is over.

    Raises:
        MisconfigurationException: `duration` cannot be read, or `interval` is something else.
    """

    def __init__(
        self,
        duration: str | timedelta | Mapping[str, int] | None = None,
        interval: Literal["step", "epoch"] = "step",
        verbose: bool = True,
    ) -> None:
        if interval not in ("step", "epoch"):
            raise MisconfigurationException(
                four_parts("Timer cannot tell when to look.", got=interval, expected="'step' or 'epoch'",
                           remedy="Correct `interval`.")
            )  # fmt: skip
        self.duration_s = None if duration is None else read_duration(duration).total_seconds()
        self.interval = interval
        self.verbose = verbose
        self._before_s = 0.0
        self._started: dict[RunningStage, float] = {}
        self._ended: dict[RunningStage, float] = {}

    def start_time(self, stage: str = RunningStage.TRAINING) -> float | None:
        """Return when `stage` began, by `time.monotonic`; None before."""
        return self._started.get(RunningStage(stage))

    def end_time(self, stage: str = RunningStage.TRAINING) -> float | None:
        """Return when `stage` ended, by `time.monotonic`; None before."""
        return self._ended.get(RunningStage(stage))

    def time_elapsed(self, stage: str = RunningStage.TRAINING) -> float:
        """Return the seconds of `stage`: of training over all resumes, else of the last time."""
        before = self._before_s if RunningStage(stage) is RunningStage.TRAINING else 0.0
        start, end = self.start_time(stage), self.end_time(stage)
        if start is None:
            return before
        return before + (time.monotonic() if end is None else end) - start

    def time_remaining(self, stage: str = RunningStage.TRAINING) -> float | None:
        """Return the seconds left, None without a limit."""
        return None if self.duration_s is None else self.duration_s - self.time_elapsed(stage)

    def _start(self, stage: RunningStage) -> None:
        self._ended.pop(stage, None)
        self._started[stage] = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock, after what was used by fits before."""
        self._before_s = self.time_elapsed()
        self._start(RunningStage.TRAINING)
        self._check(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock."""
        self._ended[RunningStage.TRAINING] = time.monotonic()

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of validation."""
        self._start(RunningStage.VALIDATING)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock of validation."""
        self._ended[RunningStage.VALIDATING] = time.monotonic()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock of the test."""
        self._start(RunningStage.TESTING)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock of the test."""
        self._ended[RunningStage.TESTING] = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: StepOutput, batch: Batch, batch_idx: int
    ) -> None:
        """Look at the clock."""
        if self.interval == "step":
            self._check(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the clock."""
        if self.interval == "epoch":
            self._check(trainer)

    def _check(self, trainer: Trainer) -> None:
        if self.duration_s is None or self.time_elapsed() < self.duration_s:
            return
        if self.verbose and not trainer.should_stop:
            used = timedelta(seconds=int(self.time_elapsed()))
            trainer.print(f"Timer: the time is over after {used} of training; stopping.")
        trainer.should_stop = True

    def state_dict(self) -> PlainState:
        """Return the time used, by stage."""
        return {"time_elapsed": {stage.value: self.time_elapsed(stage) for stage in RunningStage}}

    def load_state_dict(self, state_dict: PlainState) -> None:
        """Go on counting from the time used."""
        self._started, self._ended = {}, {}
        self._before_s = float(state_dict.get("time_elapsed", {}).get(RunningStage.TRAINING.value, 0.0))
