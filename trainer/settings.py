"""The arguments a trainer was made with, under Lightning's names."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from trainer.options import (
    DataOptions,
    LengthOptions,
    OptimisationOptions,
    ReportingOptions,
    ValidationOptions,
    refuse,
)


class Settings:
    """Read-only properties with the names of the trainer's arguments, for code that asks for them."""

    length: LengthOptions
    validation: ValidationOptions
    optimisation: OptimisationOptions
    reporting: ReportingOptions
    data: DataOptions
    _accumulate_grad_batches: int | None = None  # set during the run

    @property
    def max_epochs(self) -> int:
        """Return the limit of epochs, -1 without one."""
        return self.length.max_epochs

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

    @property
    def fast_dev_run(self) -> int:
        """Return the batches of a trial run, 0 (false) in an ordinary one."""
        return self.length.fast_dev_run

    @property
    def limit_train_batches(self) -> float:
        """Return the limit of training batches: a number (int) or a share (float)."""
        return self.length.limit_train_batches

    @property
    def limit_val_batches(self) -> float:
        """Return the limit of validation batches: a number (int) or a share (float)."""
        return self.length.limit_val_batches

    @property
    def limit_test_batches(self) -> float:
        """Return the limit of test batches: a number (int) or a share (float)."""
        return self.length.limit_test_batches

    @property
    def limit_predict_batches(self) -> float:
        """Return the limit of batches to predict: a number (int) or a share (float)."""
        return self.length.limit_predict_batches

    @property
    def overfit_batches(self) -> float:
        """Return the batches to overfit on: a number (int) or a share (float), 0.0 in an ordinary run."""
        return self.length.overfit_batches

    @property
    def val_check_interval(self) -> float | str | timedelta | Mapping[str, int]:
        """Return how often validation runs: batches (int), a share of an epoch (float), or a length of time."""
        return self.validation.val_check_interval

    @property
    def check_val_every_n_epoch(self) -> int | None:
        """Return every how many epochs validation runs, None where batches are counted over epochs."""
        return self.validation.check_val_every_n_epoch

    @property
    def num_sanity_val_steps(self) -> float:
        """Return the validation batches that run ahead of training, of each loader; `math.inf` for all."""
        steps = self.validation.num_sanity_val_steps
        return float("inf") if steps == -1 else steps

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

    @property
    def gradient_clip_val(self) -> float | None:
        """Return the limit that gradients are clipped to, None without one."""
        return self.optimisation.gradient_clip_val

    @property
    def gradient_clip_algorithm(self) -> str | None:
        """Return "norm", "value", or None where it was not chosen."""
        return self.optimisation.gradient_clip_algorithm

    @property
    def log_every_n_steps(self) -> int:
        """Return every how many steps values go to the loggers."""
        return self.reporting.log_every_n_steps

    @property
    def barebones(self) -> bool:
        """Return whether everything that costs time is off."""
        return self.reporting.barebones

    @property
    def enable_autolog_hparams(self) -> bool:
        """Return whether hyperparameters go to the loggers when fitting begins."""
        return self.reporting.enable_autolog_hparams

    @property
    def default_root_dir(self) -> str:
        """Return the folder for logs and checkpoints that have no other."""
        return self.reporting.default_root_dir

    @property
    def reload_dataloaders_every_n_epochs(self) -> int:
        """Return every how many epochs the loader hooks are called again, 0 for never."""
        return self.data.reload_dataloaders_every_n_epochs
