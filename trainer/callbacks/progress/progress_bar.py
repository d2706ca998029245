"""The base of progress displays, and the line of an epoch that stands for a bar in files and pipes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, ClassVar

from tqdm import tqdm

from trainer.callback import Callback
from trainer.callbacks.evaluation_stages import EvaluationStages
from trainer.types import EvalKind, Stage

if TYPE_CHECKING:
    from trainer.module import LightningModule
    from trainer.trainer import Trainer


class ProgressBar(Callback):
    """Base of progress displays; a trainer has one at most. It shows nothing itself.

    Attributes:
        is_enabled: whether anything is shown; off on all ranks but zero.
    """

    is_monitor: ClassVar[bool] = True
    is_enabled: bool = True
    _trainer: Trainer | None = None
    _current_eval_dataloader_idx: int | None = None

    def __init__(self) -> None:
        self.is_enabled = True

    def disable(self) -> None:
        """Show nothing."""
        self.is_enabled = False

    def enable(self) -> None:
        """Show again."""
        self.is_enabled = True

    def print(self, *values: object, **options: Any) -> None:
        """Print without breaking the display."""
        print(*values, **options)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: Stage) -> None:
        """Keep the trainer; show nothing on ranks but zero."""
        self._trainer = trainer
        if not trainer.is_global_zero:
            self.disable()

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Return what is shown beside the progress; override to add or remove values. Reads the device."""
        return {**standard_metrics(trainer), **trainer.progress_bar_metrics}

    # What is shown in words

    sanity_check_description = property(lambda self: "Sanity Checking")
    train_description = property(lambda self: "Training")
    validation_description = property(lambda self: "Validation")
    test_description = property(lambda self: "Testing")
    predict_description = property(lambda self: "Predicting")

    # How much there is to do

    @property
    def trainer(self) -> Trainer:
        """Return the trainer of the current or last run.

        Raises:
            TypeError: there was none yet.
        """
        if self._trainer is None:
            raise TypeError(f"{type(self).__name__} has no trainer yet. Use it in a run of a Trainer first.")
        return self._trainer

    @property
    def total_train_batches(self) -> float:
        """Return the batches of this epoch, infinite where not known."""
        trainer = self.trainer
        if trainer.length.max_epochs == -1 and trainer.max_steps > 0:
            return min(trainer.num_training_batches, trainer.max_steps - trainer.global_step)
        return trainer.num_training_batches

    @property
    def total_val_batches(self) -> float:
        """Return the batches of all validation loaders, 0 in an epoch without validation."""
        every = self.trainer.check_val_every_n_epoch
        if every is not None and (self.trainer.current_epoch + 1) % every:
            return 0
        return sum(self.trainer.num_val_batches)

    @property
    def total_val_batches_current_dataloader(self) -> float:
        """Return the batches of the validation loader that is read now."""
        trainer = self.trainer
        return self._current(trainer.num_sanity_val_batches if trainer.sanity_checking else trainer.num_val_batches)

    @property
    def total_test_batches_current_dataloader(self) -> float:
        """Return the batches of the test loader that is read now."""
        return self._current(self.trainer.num_test_batches)

    @property
    def total_predict_batches_current_dataloader(self) -> float:
        """Return the batches of the loader that is predicted now."""
        return self._current(self.trainer.num_predict_batches)

    def _current(self, batches: list[float]) -> float:
        return batches[self._current_eval_dataloader_idx or 0]

    def has_dataloader_changed(self, dataloader_idx: int) -> bool:
        """Return whether another loader is read than at the last call."""
        before, self._current_eval_dataloader_idx = self._current_eval_dataloader_idx, dataloader_idx
        return before != dataloader_idx

    def reset_dataloader_idx_tracker(self) -> None:
        """Forget which loader was read."""
        self._current_eval_dataloader_idx = None

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if not isinstance(value, tqdm)}


class SwitchedProgressBar(ProgressBar, EvaluationStages):
    """Base of displays that a refresh rate of 0 turns off as well as `disable`."""

    def __init__(self, refresh_rate: int, leave: bool) -> None:
        self._refresh_rate = refresh_rate
        self._leave = leave
        self._enabled = True
        self._updated_s = 0.0

    @property
    def refresh_rate(self) -> int:
        """Return how often to draw, 0 for never."""
        return self._refresh_rate

    @property
    def is_enabled(self) -> bool:  # type: ignore[override]  # here it follows from two settings
        """Return whether anything is shown."""
        return self._enabled and self.refresh_rate > 0

    @property
    def is_disabled(self) -> bool:
        """Return whether nothing is shown."""
        return not self.is_enabled

    def disable(self) -> None:
        """Show nothing."""
        self._enabled = False

    def enable(self) -> None:
        """Show again."""
        self._enabled = True

    def _description(self, kind: EvalKind, dataloader_idx: int) -> str:
        return f"{getattr(self, f'{kind}_description')} DataLoader {dataloader_idx}"


def standard_metrics(trainer: Trainer) -> dict[str, int | str]:
    """Return what is shown in every run: the logger's version, the last four characters of a long one."""
    version = trainer.logger.version if trainer.logger is not None else None
    if version in (None, ""):
        return {}
    return {"v_num": version[-4:] if isinstance(version, str) else int(version)}


get_standard_metrics = standard_metrics


def as_text(value: object) -> str:
    """Return a metric as it is shown."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def print_epoch(bar: ProgressBar, trainer: Trainer, pl_module: LightningModule) -> None:
    """Write the line of an epoch, for files and pipes."""
    metrics = bar.get_metrics(trainer, pl_module)
    metrics.pop("v_num", None)  # the same in every line
    total = trainer.length.max_epochs
    of = f"/{total}" if total > 0 else ""
    shown = "  ".join(f"{name} {as_text(value)}" for name, value in metrics.items())
    step = trainer.global_step
    print(f"epoch {trainer.current_epoch + 1}{of}  step {step}  {shown}".rstrip(), file=sys.stderr, flush=True)
