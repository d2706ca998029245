"""A learning rate found at the beginning of a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from trainer.callback import Callback

if TYPE_CHECKING:
    from trainer.module import LightningModule
    from trainer.trainer import Trainer
    from trainer.tuner.lr_finder import LRFinder


class LearningRateFinder(Callback):
    """Tries rising learning rates before training and goes on with the one where the loss falls fastest.

    The trial leaves no trace: weights, optimizer, counters and random generators are as they were. Call
    `lr_find(trainer, pl_module)` from another hook of a subclass to search at other times.

    Args:
        min_lr: the first rate.
        max_lr: the last rate.
        num_training_steps: rates to try.
        mode: "exponential" or "linear": how the rate rises.
        early_stop_threshold: stop when the loss is so many times the best one; None never stops early.
        update_attr: set the rate found on the model, and in the optimizer.
        attr_name: where; by default `lr` or `learning_rate`, of the model, its hyperparameters or the data module.

    Attributes:
        optimal_lr: what was found.

    Raises:
        ValueError: there is no such mode.
    """

    SUPPORTED_MODES: ClassVar[tuple[str, ...]] = ("linear", "exponential")

    def __init__(
        self,
        min_lr: float = 1e-8,
        max_lr: float = 1,
        num_training_steps: int = 100,
        mode: str = "exponential",
        early_stop_threshold: float | None = 4.0,
        update_attr: bool = True,
        attr_name: str = "",
    ) -> None:
        if mode.lower() not in self.SUPPORTED_MODES:
            raise ValueError(f"`mode` is {mode!r}; expected one of {self.SUPPORTED_MODES}. Correct it.")
        self._min_lr = min_lr
        self._max_lr = max_lr
        self._num_training_steps = num_training_steps
        self._mode = mode.lower()
        self._early_stop_threshold = early_stop_threshold
        self._update_attr = update_attr
        self._attr_name = attr_name
        self._early_exit = False
        self.optimal_lr: LRFinder | None = None

    def lr_find(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Search now."""
        from trainer.tuner.lr_finder import find_lr
        from trainer.tuner.trial import TunerExit

        self.optimal_lr = find_lr(
            trainer,
            min_lr=self._min_lr,
            max_lr=self._max_lr,
            num_training=self._num_training_steps,
            mode=self._mode,
            early_stop_threshold=self._early_stop_threshold,
            update_attr=self._update_attr,
            attr_name=self._attr_name,
        )
        if self._early_exit:
            raise TunerExit

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Search before training."""
        self.lr_find(trainer, pl_module)
