"""Ending a fit after a length of time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from trainer.callback import Callback
from trainer.options import read_duration
from trainer.types import Batch, PlainState, StepOutput

if TYPE_CHECKING:
    from trainer.module import LightningModule
    from trainer.trainer import Trainer


class Timer(Callback):
    """Asks the fit to stop after `duration` of training, counted over all resumes.

    Args:
        duration: how long, as "DD:HH:MM:SS", a timedelta or a dict; None only measures.
    """

    def __init__(self, duration: str | timedelta | Mapping[str, int] | None = None) -> None:
        self.duration_s = None if duration is None else read_duration(duration).total_seconds()
        self._before_s = 0.0
        self._started: float | None = None

    def time_elapsed(self) -> float:
        """Return the seconds of training so far."""
        return self._before_s + (0.0 if self._started is None else time.monotonic() - self._started)

    def time_remaining(self) -> float | None:
        """Return the seconds left, None without a limit."""
        return None if self.duration_s is None else self.duration_s - self.time_elapsed()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._started = time.monotonic()
        self._check(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock."""
        self._before_s = self.time_elapsed()
        self._started = None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: StepOutput, batch: Batch, batch_idx: int
    ) -> None:
        """Look at the clock."""
        self._check(trainer)

    def _check(self, trainer: Trainer) -> None:
        if self.duration_s is not None and self.time_elapsed() >= self.duration_s:
            trainer.should_stop = True

    def state_dict(self) -> PlainState:
        """Return the time used."""
        return {"time_elapsed_s": self.time_elapsed()}

    def load_state_dict(self, state_dict: PlainState) -> None:
        """Go on counting from the time used."""
        self._before_s = float(state_dict["time_elapsed_s"])
