"""The trainer's flat arguments, sorted into frozen groups and checked when they are made."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

from trainer.errors import MisconfigurationException, four_parts
from trainer.optimization.clipping import check_clipping


@dataclass(frozen=True, slots=True, kw_only=True)
class LengthOptions:
    """How long a run lasts. -1 is endless; a share of a stage is a float, a number of batches an int."""

    max_epochs: int
    min_epochs: int | None
    max_steps: int
    min_steps: int | None
    max_time: str | timedelta | Mapping[str, int] | None
    limit_train_batches: float
    limit_val_batches: float
    limit_test_batches: float
    limit_predict_batches: float
    overfit_batches: float
    fast_dev_run: int

    def __post_init__(self) -> None:
        check_share("overfit_batches", self.overfit_batches)
        for name in ("limit_train_batches", "limit_val_batches", "limit_test_batches", "limit_predict_batches"):
            check_share(name, getattr(self, name))
        for name in ("max_epochs", "max_steps"):
            if getattr(self, name) < -1:
                refuse(name, getattr(self, name), "a number of at least -1 (endless)", "Correct it.")
        if self.fast_dev_run < 0:
            refuse("fast_dev_run", self.fast_dev_run, "a number of batches of at least 0", "Correct it.")

    @property
    def train_limit(self) -> tuple[float, str]:
        """Return the limit of training batches and the argument that set it."""
        if self.overfit_batches:
            return self.overfit_batches, "overfit_batches"
        return self.limit_train_batches, "limit_train_batches"


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationOptions:
    """When validation runs; `val_check_interval` may be a length of time."""

    val_check_interval: float | str | timedelta | Mapping[str, int]
    check_val_every_n_epoch: int | None
    num_sanity_val_steps: int

    def __post_init__(self) -> None:
        interval = self.val_check_interval
        if isinstance(interval, bool) or not isinstance(interval, int | float | str | timedelta | Mapping):
            refuse("val_check_interval", interval, "a share of an epoch, a number of batches or a length of time",
                   "Pass a number of batches, or '00:00:15:00' for a quarter of an hour.")  # fmt: skip
        if isinstance(interval, str | timedelta | Mapping):
            if read_duration(interval) <= timedelta():
                refuse("val_check_interval", interval, "a length of time above zero", "Correct it.")
        elif interval <= 0 or (isinstance(interval, float) and interval > 1.0):
            refuse("val_check_interval", interval, "a float up to 1.0 or a positive int", "Correct it.")
        every = self.check_val_every_n_epoch
        if every is None and isinstance(interval, float) and interval != 1.0:
            refuse("val_check_interval", interval, "a number of batches when check_val_every_n_epoch=None",
                   "Pass val_check_interval=500, for example.")  # fmt: skip
        if every is not None and (not isinstance(every, int) or every < 1):
            refuse("check_val_every_n_epoch", every, "a positive int or None",
                   "Pass limit_val_batches=0 to turn validation off.")  # fmt: skip

    @property
    def seconds_between(self) -> float | None:
        """Return the seconds after which validation runs, None where batches are counted."""
        interval = self.val_check_interval
        return None if isinstance(interval, int | float) else read_duration(interval).total_seconds()

    def batches_between(self, num_batches: float) -> float:
        """Return after how many batches validation runs, `math.inf` for the end of the epoch.

        Raises:
            MisconfigurationException: a share of an unknown length, or more batches than an epoch has.
        """
        interval = self.val_check_interval
        if not isinstance(interval, int | float):
            return math.inf
        if isinstance(interval, int):
            if self.check_val_every_n_epoch is not None and interval > num_batches > 0:
                refuse("val_check_interval", interval, f"at most the {int(num_batches)} batches of an epoch",
                       "Pass check_val_every_n_epoch=None to count batches over epochs.")  # fmt: skip
            return interval
        if interval == 1.0 or num_batches == 0:
            return math.inf
        if math.isinf(num_batches):
            refuse("val_check_interval", interval, "a number of batches for a loader without a length",
                   "Pass val_check_interval=500, for example.")  # fmt: skip
        return max(1, int(num_batches * interval))


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimisationOptions:
    """How gradients become updates."""

    accumulate_grad_batches: int
    gradient_clip_val: float | None
    gradient_clip_algorithm: str | None
    detect_anomaly: bool

    def __post_init__(self) -> None:
        if self.accumulate_grad_batches < 1:
            refuse("accumulate_grad_batches", self.accumulate_grad_batches, "a number of at least 1", "Correct it.")
        check_clipping(self.gradient_clip_val, self.gradient_clip_algorithm)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportingOptions:
    """What is shown and kept. `log_every_n_steps` counts batches that end with an optimizer step."""

    log_every_n_steps: int
    default_root_dir: str
    enable_checkpointing: bool
    enable_progress_bar: bool
    enable_model_summary: bool
    enable_autolog_hparams: bool = True
    barebones: bool = False

    def __post_init__(self) -> None:
        if self.log_every_n_steps < 0:
            refuse("log_every_n_steps", self.log_every_n_steps, "a number of at least 0", "Correct it.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReproducibilityOptions:
    """What makes runs repeatable, and how gradients are kept out of evaluation."""

    deterministic: bool | Literal["warn"] | None
    benchmark: bool | None
    inference_mode: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DataOptions:
    """How loaders are treated."""

    use_distributed_sampler: bool
    reload_dataloaders_every_n_epochs: int

    def __post_init__(self) -> None:
        every = self.reload_dataloaders_every_n_epochs
        if not isinstance(every, int) or every < 0:
            refuse("reload_dataloaders_every_n_epochs", every, "a whole number of at least 0", "Correct it.")


def check_share(name: str, value: float) -> None:
    """Refuse a limit that is neither a number of batches nor a share of them."""
    if value is True or value < 0 or (isinstance(value, float) and value > 1.0):
        refuse(name, value, "an int of at least 0 (batches) or a float from 0.0 to 1.0 (share)", "Correct it.")


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


def refuse(name: str, value: object, expected: str, remedy: str) -> None:
    """Raise the error for an impossible argument of the trainer."""
    raise MisconfigurationException(
        four_parts(f"`{name}` makes no sense.", got=value, expected=expected, remedy=remedy)
    )


def read_length(
    *,
    max_epochs: int | None,
    max_steps: int,
    max_time: str | timedelta | Mapping[str, int] | None,
    fast_dev_run: int | bool,
    min_epochs: int | None,
    min_steps: int | None,
    limits: tuple[float, float, float, float],
    overfit_batches: float,
    has_timer: bool,
) -> LengthOptions:
    """Return the length options with defaults decided: 1000 epochs unless any limit is given; `fast_dev_run` wins."""
    if max_epochs is None:
        max_epochs = 1000 if max_steps == -1 and not has_timer else -1
    batches = int(fast_dev_run)
    if batches > 0:
        limits = (batches, batches, batches, batches)
        max_epochs, max_steps, min_epochs, min_steps, overfit_batches = 1, batches, None, None, 0
    train, val, test, predict = limits
    return LengthOptions(
        max_epochs=max_epochs,
        min_epochs=min_epochs,
        max_steps=max_steps,
        min_steps=min_steps,
        max_time=max_time,
        limit_train_batches=train,
        limit_val_batches=val,
        limit_test_batches=test,
        limit_predict_batches=predict,
        overfit_batches=overfit_batches,
        fast_dev_run=batches,
    )


def check_barebones(**asked: object) -> None:
    """Refuse what costs time where `barebones` asks for nothing that does.

    Raises:
        MisconfigurationException: one of the arguments is on.
    """
    on = [f"{name}={value!r}" for name, value in asked.items() if value]
    if on:
        refuse("barebones", ", ".join(on), "nothing that costs time beside `barebones=True`", "Leave out one of them.")


def default_root(folder: str | Path | None) -> str:
    """Return the folder for logs and checkpoints, the current one by default."""
    return os.fspath(Path.cwd() if folder is None else folder)
