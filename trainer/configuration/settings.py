"""The arguments a trainer was made with, under Lightning's names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Generic, Self, TypeVar, cast, overload

from trainer.configuration.options import (
    DataOptions,
    LengthOptions,
    OptimisationOptions,
    ReportingOptions,
    ValidationOptions,
    refuse,
)

T = TypeVar("T")


class Setting(Generic[T]):
    """A field of one of the trainer's groups; setting it makes the group anew, checked as at first."""

    def __init__(self, group: str, doc: str) -> None:
        self._group = group
        self.__doc__ = doc

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, settings: None, owner: type) -> Self: ...

    @overload
    def __get__(self, settings: Settings, owner: type) -> T: ...

    def __get__(self, settings: Settings | None, owner: type) -> Self | T:
        return self if settings is None else cast("T", getattr(getattr(settings, self._group), self._name))

    def __set__(self, settings: Settings, value: T) -> None:
        fields: dict[str, Any] = {self._name: value}
        setattr(settings, self._group, replace(getattr(settings, self._group), **fields))


class Settings:
    """Properties with the names of the trainer's arguments; those that Lightning lets be set later may be set."""

    length: LengthOptions
    validation: ValidationOptions
    optimisation: OptimisationOptions
    reporting: ReportingOptions
    data: DataOptions
    _accumulate_grad_batches: int | None = None  # set during the run
    _knows_epochs: bool = True  # False until the first fit decides what was left open

    @property
    def max_epochs(self) -> int | None:
        """Return the limit of epochs, -1 without one; None until a fit decides where none was given."""
        return self.length.max_epochs if self._knows_epochs else None

    @property
    def max_steps(self) -> int:
        """Return the limit of optimizer steps, -1 without one."""
        return self.length.max_steps

    @property
    def min_epochs(self) -> int | None:
        """Return the epochs that early stopping has to wait for."""
        return self.length.min_epochs

    @property
    def min_steps(self) -> int | None:
        """Return the optimizer steps that early stopping has to wait for."""
        return self.length.min_steps

    fast_dev_run = Setting[int]("length", "The batches of a trial run, 0 (false) in an ordinary one.")
    limit_train_batches = Setting[float]("length", "The limit of training batches: a number (int) or a share (float).")
    limit_val_batches = Setting[float]("length", "The limit of validation batches: a number (int) or a share (float).")
    limit_test_batches = Setting[float]("length", "The limit of test batches: a number (int) or a share (float).")
    limit_predict_batches = Setting[float](
        "length", "The limit of batches to predict: a number (int) or a share (float)."
    )
    overfit_batches = Setting[float](
        "length", "The batches to overfit on: a number (int) or a share (float), 0.0 in an ordinary run."
    )
    val_check_interval = Setting[float | str | timedelta | Mapping[str, int]](
        "validation", "How often validation runs: batches (int), a share of an epoch (float), or a length of time."
    )
    check_val_every_n_epoch = Setting[int | None](
        "validation", "Every how many epochs validation runs, None where batches are counted over epochs."
    )

    @property
    def num_sanity_val_steps(self) -> float:
        """Return the validation batches that run ahead of training, of each loader; `math.inf` for all."""
        steps = self.validation.num_sanity_val_steps
        return float("inf") if steps == -1 else steps

    @num_sanity_val_steps.setter
    def num_sanity_val_steps(self, steps: float) -> None:
        number = -1 if steps == float("inf") else int(steps)
        self.validation = replace(self.validation, num_sanity_val_steps=number)

    @property
    def accumulate_grad_batches(self) -> int:
        """Return the batches of one optimizer step; setting it holds from the next epoch's first batch on."""
        own = self._accumulate_grad_batches
        return self.optimisation.accumulate_grad_batches if own is None else own

    @accumulate_grad_batches.setter
    def accumulate_grad_batches(self, batches: int) -> None:
        if isinstance(batches, bool) or not isinstance(batches, int) or batches < 1:
            refuse("accumulate_grad_batches", batches, "a whole number of at least 1", "Correct it.")
        self._accumulate_grad_batches = batches

    gradient_clip_val = Setting[float | None]("optimisation", "The limit that gradients are clipped to, None without.")
    gradient_clip_algorithm = Setting[str | None]("optimisation", '"norm", "value", or None where it was not chosen.')
    log_every_n_steps = Setting[int]("reporting", "Every how many steps values go to the loggers.")
    barebones = Setting[bool]("reporting", "Whether everything that costs time is off.")

    @property
    def enable_autolog_hparams(self) -> bool:
        """Return whether hyperparameters go to the loggers when fitting begins."""
        return self.reporting.enable_autolog_hparams

    @property
    def default_root_dir(self) -> str:
        """Return the folder for logs and checkpoints that have no other."""
        return self.reporting.default_root_dir

    reload_dataloaders_every_n_epochs = Setting[int](
        "data", "Every how many epochs the loader hooks are called again, 0 for never."
    )
