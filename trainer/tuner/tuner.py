"""The Tuner: searches for a learning rate or a batch size, without a training run around them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Literal

from trainer.callback import Callback
from trainer.callbacks.batch_size_finder import BatchSizeFinder
from trainer.callbacks.lr_finder import LearningRateFinder
from trainer.errors import MisconfigurationException, four_parts
from trainer.tuner.trial import TunerExit

if TYPE_CHECKING:
    from trainer.datamodule import LightningDataModule
    from trainer.module import LightningModule
    from trainer.trainer import Trainer
    from trainer.tuner.lr_finder import LRFinder

_METHODS = ("fit", "validate", "test", "predict")


class Tuner:
    """Searches with the settings of a trainer; afterwards trainer and model are as before, but for what was set.

    Args:
        trainer: whose device, precision and accumulation count.
    """

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer

    def lr_find(
        self,
        model: LightningModule,
        train_dataloaders: Any = None,
        val_dataloaders: Any = None,
        dataloaders: Any = None,
        datamodule: LightningDataModule | None = None,
        method: Literal["fit", "validate", "test", "predict"] = "fit",
        min_lr: float = 1e-8,
        max_lr: float = 1,
        num_training: int = 100,
        mode: str = "exponential",
        early_stop_threshold: float | None = 4.0,
        update_attr: bool = True,
        attr_name: str = "",
    ) -> LRFinder | None:
        """Return what a search for a learning rate found; arguments as for LearningRateFinder and `fit`.

        Raises:
            MisconfigurationException: another method than "fit", several optimizers, or loaders that do not fit.
            AttributeError: nobody has the attribute that is to be set.
            ValueError: the trainer searches by itself, or there is no such mode.
        """
        if method != "fit":
            raise MisconfigurationException(
                four_parts("A learning rate is found by fitting.", got=method, expected="method='fit'",
                           remedy="Leave it out.")
            )  # fmt: skip
        self._check(LearningRateFinder, method, train_dataloaders, val_dataloaders, dataloaders)
        finder = LearningRateFinder(min_lr, max_lr, num_training, mode, early_stop_threshold, update_attr, attr_name)
        finder._early_exit = True
        self._run(finder, model, method, train_dataloaders, val_dataloaders, dataloaders, datamodule)
        return finder.optimal_lr

    def scale_batch_size(
        self,
        model: LightningModule,
        train_dataloaders: Any = None,
        val_dataloaders: Any = None,
        dataloaders: Any = None,
        datamodule: LightningDataModule | None = None,
        method: Literal["fit", "validate", "test", "predict"] = "fit",
        mode: str = "power",
        steps_per_trial: int = 3,
        init_val: int = 2,
        max_trials: int = 25,
        batch_arg_name: str = "batch_size",
        margin: float = 0.05,
        max_val: int = 8192,
    ) -> int | None:
        """Return the largest batch size that fits; arguments as for BatchSizeFinder and the method.

        Raises:
            MisconfigurationException: the batch size cannot be set, or loaders do not fit the method.
            ValueError: the trainer searches by itself, has several processes, or there is no such mode or method.
        """
        self._check(BatchSizeFinder, method, train_dataloaders, val_dataloaders, dataloaders)
        if self._trainer.strategy.is_distributed:
            raise ValueError("A batch size is found on one process. Got several; make a Trainer with devices=1.")
        finder = BatchSizeFinder(mode, steps_per_trial, init_val, max_trials, batch_arg_name, margin, max_val)
        finder._early_exit = True
        self._run(finder, model, method, train_dataloaders, val_dataloaders, dataloaders, datamodule)
        return finder.optimal_batch_size

    def _check(self, kind: type[Callback], method: str, train: Any, val: Any, others: Any) -> None:
        if method not in _METHODS:
            raise ValueError(f"`method` is {method!r}; expected one of {_METHODS}. Correct it.")
        if self._trainer.spawns:
            raise MisconfigurationException(
                "The tuner searches in this process, and the strategy starts others. Got "
                f"start_method={self._trainer.strategy.start_method!r}; expected 'popen'. Search with devices=1."
            )
        wrong = others is not None if method == "fit" else train is not None or val is not None
        if wrong:
            right = "`train_dataloaders` and `val_dataloaders`" if method == "fit" else "`dataloaders`"
            raise MisconfigurationException(f"Loaders for another method were given. method={method!r} takes {right}.")
        if any(isinstance(callback, kind) for callback in self._trainer.callbacks):
            raise ValueError(f"The trainer has a {kind.__name__} already. Remove it, or do without the Tuner.")

    def _run(
        self, finder: Callback, model: LightningModule, method: str, train: Any, val: Any, others: Any, datamodule: Any
    ) -> None:
        trainer = self._trainer
        callbacks = trainer.callbacks
        trainer.callbacks = [finder, *callbacks]
        try:
            with contextlib.suppress(TunerExit):
                if method == "fit":
                    trainer.fit(model, train, val, datamodule)
                else:
                    getattr(trainer, method)(model, others, datamodule=datamodule)
        finally:
            trainer.callbacks = [callback for callback in trainer.callbacks if callback is not finder]
