"""Stopping a fit when a metric no longer gets better."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from torch import Tensor

from trainer.callback import Callback
from trainer.errors import MetricNotFoundError, MisconfigurationException, four_parts
from trainer.types import PlainState, Stage

if TYPE_CHECKING:
    from trainer.module import LightningModule
    from trainer.trainer import Trainer


class EarlyStoppingReason(Enum):
    """Why `EarlyStopping` ended a fit."""

    NOT_STOPPED = 0
    STOPPING_THRESHOLD = 1
    DIVERGENCE_THRESHOLD = 2
    PATIENCE_EXHAUSTED = 3
    NON_FINITE_METRIC = 4


StoppingReason = EarlyStoppingReason


class EarlyStopping(Callback):
    """Ends the fit when `monitor` has not got better for `patience` checks.

    Args:
        monitor: name of the metric.
        min_delta: by how much a value must be better to count.
        patience: how many checks without a better value are allowed.
        verbose: print each improvement.
        mode: whether smaller or larger is better.
        strict: a missing metric is an error; otherwise the check is left out with a warning.
        check_finite: stop when the metric is infinite or not a number.
        stopping_threshold: stop as soon as the metric is better than this.
        divergence_threshold: stop as soon as the metric is worse than this.
        check_on_train_epoch_end: check at the end of training epochs instead of validation. By default: where
            validation runs once an epoch or not at all.
        log_rank_zero_only: accepted; rank zero alone prints in any case.

    Attributes:
        wait_count: checks since then.
        stopped_epoch: the epoch in which it stopped, 0 before.
        stopping_reason: why it stopped.
    """

    is_monitor: ClassVar[bool] = True
    mode_dict: ClassVar[dict[str, Callable[[Tensor, Tensor], Tensor]]] = {"min": torch.lt, "max": torch.gt}
    order_dict: ClassVar[dict[str, str]] = {"min": "<", "max": ">"}

    def __init__(
        self,
        monitor: str,
        min_delta: float = 0.0,
        patience: int = 3,
        verbose: bool = False,
        mode: Literal["min", "max"] = "min",
        strict: bool = True,
        check_finite: bool = True,
        stopping_threshold: float | None = None,
        divergence_threshold: float | None = None,
        check_on_train_epoch_end: bool | None = None,
        log_rank_zero_only: bool = False,
    ) -> None:
        if mode not in ("min", "max"):
            raise MisconfigurationException(
                four_parts("EarlyStopping cannot tell which is better.", got=mode, expected="'min' or 'max'",
                           remedy="Pass mode='min' for losses, mode='max' for scores.")
            )  # fmt: skip
        self.monitor = monitor
        self.min_delta = -abs(min_delta) if mode == "min" else abs(min_delta)
        self.patience = patience
        self.verbose = verbose
        self.mode = mode
        self.strict = strict
        self.check_finite = check_finite
        self.stopping_threshold = stopping_threshold
        self.divergence_threshold = divergence_threshold
        self.check_on_train_epoch_end = check_on_train_epoch_end
        self.log_rank_zero_only = log_rank_zero_only
        self._best = math.inf if mode == "min" else -math.inf
        self.wait_count = 0
        self.stopped_epoch = 0
        self.stopping_reason = StoppingReason.NOT_STOPPED
        self.stopping_reason_message: str | None = None
        self._checks_training = False

    @property
    def best_score(self) -> Tensor:
        """Return the best value so far; infinite before the first."""
        return torch.tensor(self._best)

    @property
    def monitor_op(self) -> Callable[[Tensor, Tensor], Tensor]:
        """Return the comparison that says whether its first argument is better."""
        return self.mode_dict[self.mode]

    @property
    def state_key(self) -> str:
        """Return a key that tells monitors and modes apart."""
        return f"EarlyStopping{{'monitor': {self.monitor!r}, 'mode': {self.mode!r}}}"

    def state_dict(self) -> PlainState:
        """Return the counters as plain data."""
        return {
            "best_score": self.best_score,
            "wait_count": self.wait_count,
            "stopped_epoch": self.stopped_epoch,
            "patience": self.patience,
            "stopping_reason": self.stopping_reason.value,
            "stopping_reason_message": self.stopping_reason_message,
        }

    def load_state_dict(self, state_dict: PlainState) -> None:
        """Continue counting; the patience stays the one given now."""
        self._best = float(state_dict["best_score"])
        self.wait_count = int(state_dict["wait_count"])
        self.stopped_epoch = int(state_dict["stopped_epoch"])
        reason = state_dict.get("stopping_reason", 0)  # earlier versions wrote the name
        self.stopping_reason = (
            EarlyStoppingReason[reason.upper()] if isinstance(reason, str) else EarlyStoppingReason(reason)
        )
        self.stopping_reason_message = state_dict.get("stopping_reason_message") or None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: Stage) -> None:
        """Choose what to check after."""
        self._checks_training = bool(self.check_on_train_epoch_end)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop at once where the run that is resumed had stopped already."""
        if self.check_on_train_epoch_end is None:
            options = trainer.validation
            once = options.val_check_interval == 1.0 and options.check_val_every_n_epoch == 1
            self._checks_training = once or not trainer.has_validation
        if self.wait_count >= self.patience > 0 and self.stopped_epoch:
            trainer.should_stop = True

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check after validation."""
        if not self._checks_training and trainer.is_fitting and not trainer.is_sanity_checking:
            self._check(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check after a training epoch."""
        if self._checks_training:
            self._check(trainer)

    def _check(self, trainer: Trainer) -> None:
        metrics = trainer.callback_metrics
        if trainer.length.fast_dev_run:
            return
        if self.monitor not in metrics:
            message = (
                f"EarlyStopping looks at `{self.monitor}`, which was not logged. Known metrics: {sorted(metrics)}. "
                f"Call `self.log({self.monitor!r}, ...)` or correct the name."
            )
            if self.strict:
                raise MetricNotFoundError(message)
            trainer.warn_once(message)
            return
        reason = self._judge(float(metrics[self.monitor]))
        if reason is StoppingReason.NOT_STOPPED:
            return
        trainer.should_stop = True
        self.stopped_epoch = trainer.current_epoch
        self.stopping_reason = reason
        self.stopping_reason_message = (
            f"EarlyStopping: `{self.monitor}` {reason.name.lower().replace('_', ' ')}; best value {self._best:.6g}."
        )
        if self.verbose:
            trainer.print(self.stopping_reason_message)

    def _judge(self, value: float) -> StoppingReason:
        if self.check_finite and not math.isfinite(value):
            return StoppingReason.NON_FINITE_METRIC
        if self.stopping_threshold is not None and self._is_better(value, self.stopping_threshold):
            return StoppingReason.STOPPING_THRESHOLD
        if self.divergence_threshold is not None and self._is_better(self.divergence_threshold, value):
            return StoppingReason.DIVERGENCE_THRESHOLD
        if self._is_better(value, self._best, abs(self.min_delta)):
            self._best = value
            self.wait_count = 0
            return StoppingReason.NOT_STOPPED
        self.wait_count += 1
        return StoppingReason.PATIENCE_EXHAUSTED if self.wait_count >= self.patience else StoppingReason.NOT_STOPPED

    def _is_better(self, value: float, than: float, by: float = 0.0) -> bool:
        return value < than - by if self.mode == "min" else value > than + by
