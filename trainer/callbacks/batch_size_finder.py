"""The largest batch size that fits into memory, found at the beginning of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from trainer.callback import Callback
from trainer.errors import MisconfigurationException, four_parts
from trainer.types import Stage

if TYPE_CHECKING:
    from trainer.module import LightningModule
    from trainer.trainer import Trainer


class BatchSizeFinder(Callback):
    """Runs a few steps with growing batches until memory does not suffice, and goes on with the largest that did.

    The loaders must come from the model or a data module, and be built with the attribute. The trials leave no trace:
    weights, optimizer, counters and random generators are as they were.

    Args:
        mode: "power" doubles; "binsearch" doubles, and then looks between the last two sizes.
        steps_per_trial: batches of each trial.
        init_val: the first size.
        max_trials: sizes to try.
        batch_arg_name: attribute or hyperparameter of the model or the data module that holds the size.
        margin: share that the size found by "binsearch" is made smaller by.
        max_val: the largest size.

    Attributes:
        optimal_batch_size: what was found.

    Raises:
        ValueError: there is no such mode.
    """

    SUPPORTED_MODES: ClassVar[tuple[str, ...]] = ("power", "binsearch")

    def __init__(
        self,
        mode: str = "power",
        steps_per_trial: int = 3,
        init_val: int = 2,
        max_trials: int = 25,
        batch_arg_name: str = "batch_size",
        margin: float = 0.05,
        max_val: int = 8192,
    ) -> None:
        if mode.lower() not in self.SUPPORTED_MODES:
            raise ValueError(f"`mode` is {mode!r}; expected one of {self.SUPPORTED_MODES}. Correct it.")
        check_margin(margin)
        self.optimal_batch_size: int | None = init_val
        self._mode = mode.lower()
        self._steps_per_trial = steps_per_trial
        self._init_val = init_val
        self._max_trials = max_trials
        self._batch_arg_name = batch_arg_name
        self._margin = margin
        self._max_val = max_val
        self._early_exit = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: Stage) -> None:
        """Refuse runs whose batch size cannot be set.

        Raises:
            MisconfigurationException: several processes, loaders given as arguments, or nobody has the attribute.
        """
        from trainer.tuner.attributes import has_value

        problem = None
        if trainer.strategy.is_distributed:
            problem = "several processes", "one process", "Search on one, and pass the size to the others."
        elif any(loader is not None for loader in trainer.sources.given.values()):
            problem = (
                "loaders given as arguments",
                "loaders from the hooks of the model or a data module",
                f"Write the hooks, with `self.{self._batch_arg_name}` in them.",
            )
        elif not has_value(trainer, self._batch_arg_name):
            problem = (
                f"no `{self._batch_arg_name}`",
                "an attribute or hyperparameter of the model or the data module",
                "Set it in `__init__`, or name it with `batch_arg_name`.",
            )
        if problem is not None:
            got, expected, remedy = problem
            raise MisconfigurationException(
                four_parts("The batch size finder cannot work here.", got=got, expected=expected, remedy=remedy)
            )

    def scale_batch_size(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Search now."""
        from trainer.tuner.batch_size import find_batch_size
        from trainer.tuner.trial import TunerExit

        self.optimal_batch_size = find_batch_size(
            trainer,
            mode=self._mode,
            steps_per_trial=self._steps_per_trial,
            init_val=self._init_val,
            max_trials=self._max_trials,
            batch_arg_name=self._batch_arg_name,
            margin=self._margin,
            max_val=self._max_val,
        )
        if self._early_exit:
            raise TunerExit

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Search before training."""
        self.scale_batch_size(trainer, pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Search before a validation by itself."""
        if trainer.state.fn == "validate":
            self.scale_batch_size(trainer, pl_module)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Search before a test."""
        self.scale_batch_size(trainer, pl_module)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Search before a prediction."""
        self.scale_batch_size(trainer, pl_module)


def check_margin(margin: float) -> None:
    """Refuse a margin that is no share.

    Raises:
        AssertionError: as in Lightning.
    """
    if not 0.0 <= margin < 1.0:
        raise AssertionError(f"`margin` should be between 0 and 1. Got {margin}; expected at least 0, less than 1.")
