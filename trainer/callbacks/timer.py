"""Ending a fit after a length of time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from trainer.callback import Callback
from trainer.errors import MisconfigurationException, four_parts
from trainer.types import Batch, PlainState, StepOutput

if TYPE_CHECKING:
    from trainer.module import LightningModule
    from trainer.trainer import Trainer


def read_duration(duration: str | timedelta | Mapping[str, int]) -> timedelta:
    """Return the length of time meant by "DD:HH:MM:SS", a timedelta, or timedelta's arguments in a dict.

    Raises:
        MisconfigurationException: it cannot be read.
    """
    try:
        if isinstance(duration, timedelta):
            return duration
        if isinstance(duration, Mapping):
            return timedelta(**duration)
        days, hours, minutes, seconds = (int(part) for part in duration.split(":"))
        return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    except (ValueError, TypeError, AttributeError) as error:
        raise MisconfigurationException(
            four_parts(
                "A length of time cannot be read.",
                got=duration,
                expected="'DD:HH:MM:SS', a timedelta, or a dict of timedelta's arguments",
                remedy="For one hour pass '00:01:00:00'.",
            )
        ) from error


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
