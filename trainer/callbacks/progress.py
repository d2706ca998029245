"""Showing how far a run is: a bar on a terminal, one line per epoch elsewhere."""

from __future__ import annotations

import math
import os
import sys
import time
from typing import TYPE_CHECKING, Any, ClassVar

from tqdm import tqdm

from trainer.callback import Callback
from trainer.types import Batch, Stage, StepOutput

if TYPE_CHECKING:
    from trainer.module import LightningModule
    from trainer.trainer import Trainer

_PAUSE_S = 0.1  # between two updates, where no rate was asked for: nobody sees more, and metrics cost a device read


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
        if trainer.max_epochs == -1 and trainer.max_steps > 0:
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


def standard_metrics(trainer: Trainer) -> dict[str, int | str]:
    """Return what is shown in every run: the logger's version, the last four characters of a long one."""
    version = trainer.logger.version if trainer.logger is not None else None
    if version in (None, ""):
        return {}
    return {"v_num": version[-4:] if isinstance(version, str) else int(version)}


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


class TQDMProgressBar(ProgressBar):
    """A bar of the batches on a terminal; where the output is a file or a pipe, one line after each epoch.

    Training has one bar for each epoch, and validation inside it none: nothing is nested. The other stages have a bar
    for each loader.

    Args:
        refresh_rate: batches between two updates; metrics are read only then. 1 updates ten times a second at most,
            0 shows nothing. The environment's TQDM_MINITERS raises it.
        process_position: lines to leave free above the bar.
        leave: keep the bar of each epoch.
    """

    BAR_FORMAT = "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}{postfix}]"

    def __init__(self, refresh_rate: int = 1, process_position: int = 0, leave: bool = False) -> None:
        self._refresh_rate = max(refresh_rate, int(os.environ.get("TQDM_MINITERS", 0))) if refresh_rate else 0
        self._process_position = process_position
        self._leave = leave
        self._enabled = True
        self._bars: dict[str, Any] = {}  # tqdm ships no types
        self._is_terminal = False
        self._updated_s = 0.0

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_bars": {}}

    @property
    def refresh_rate(self) -> int:
        """Return the batches between two updates."""
        return self._refresh_rate

    @property
    def process_position(self) -> int:
        """Return the lines left free above the bar."""
        return self._process_position

    @property
    def leave(self) -> bool:
        """Return whether the bars of epochs are kept."""
        return self._leave

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

    # The bars

    def _make(self, description: str, leave: bool) -> Any:
        return tqdm(
            desc=description,
            position=2 * self.process_position,
            disable=self.is_disabled,
            leave=leave,
            dynamic_ncols=True,
            file=sys.stderr,
            smoothing=0,
            bar_format=self.BAR_FORMAT,
        )

    def init_train_tqdm(self) -> Any:
        """Return the bar of an epoch's training; override to change it."""
        return self._make(self.train_description, self.leave)

    def init_validation_tqdm(self) -> Any:
        """Return the bar of a call of `validate`; override to change it."""
        return self._make(self.validation_description, True)

    def init_test_tqdm(self) -> Any:
        """Return the bar of a call of `test`; override to change it."""
        return self._make(self.test_description, True)

    def init_predict_tqdm(self) -> Any:
        """Return the bar of a call of `predict`; override to change it."""
        return self._make(self.predict_description, True)

    def _bar(self, stage: str) -> Any:
        if stage not in self._bars:
            raise TypeError(f"{type(self).__name__} has no bar of this stage now: {stage}.")
        return self._bars[stage]

    train_progress_bar = property(lambda self: self._bar("train"))
    val_progress_bar = property(lambda self: self._bar("validation"))
    test_progress_bar = property(lambda self: self._bar("test"))
    predict_progress_bar = property(lambda self: self._bar("predict"))

    def print(self, *values: object, **options: Any) -> None:
        """Print above the bar."""
        if not self._bars:
            print(*values, **options)
        else:
            tqdm.write(options.get("sep", " ").join(map(str, values)), file=options.get("file", sys.stdout))

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: Stage) -> None:
        """Look what kind of output there is."""
        super().setup(trainer, pl_module, stage)
        self._is_terminal = sys.stderr.isatty()

    def _close(self, stage: str) -> None:
        if stage in self._bars:
            self._bars.pop(stage).close()

    def _is_due(self, done: int, total: float | None) -> bool:
        if done == total:
            return True
        if done % self.refresh_rate:
            return False
        if self.refresh_rate > 1:
            return True
        now = time.monotonic()
        if now - self._updated_s < _PAUSE_S:
            return False
        self._updated_s = now
        return True

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the terminal as it was."""
        for stage in list(self._bars):
            self._close(stage)

    # Training

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar of the epoch."""
        if self.is_enabled and self._is_terminal:
            bar = self._bars["train"] = self.init_train_tqdm()
            bar.initial = bar.n = trainer.train_state.batches_done
            bar.total = _finite(self.total_train_batches)
            bar.set_description(f"Epoch {trainer.current_epoch}")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: StepOutput, batch: Batch, batch_idx: int
    ) -> None:
        """Move the bar."""
        bar = self._bars.get("train")
        if bar is not None and self._is_due(batch_idx + 1, bar.total):
            bar.set_postfix(self._postfix(trainer, pl_module), refresh=False)
            bar.update(batch_idx + 1 - bar.n)

    def _postfix(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, str]:
        return {name: as_text(value) for name, value in self.get_metrics(trainer, pl_module).items()}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar, or write the epoch's line."""
        bar = self._bars.get("train")
        if bar is not None:
            bar.set_postfix(self._postfix(trainer, pl_module), refresh=False)
            bar.update(trainer.train_state.batches_done - bar.n)
            self._close("train")
        elif self.is_enabled:
            print_epoch(self, trainer, pl_module)

    # Other stages

    def _open(self, stage: str, bar: Any) -> None:
        self.reset_dataloader_idx_tracker()
        self._bars[stage] = bar

    def _enter(self, stage: str, description: str, batches: list[float], dataloader_idx: int) -> None:
        """Begin the loader's bar anew."""
        bar = self._bars.get(stage)
        if bar is not None and self.has_dataloader_changed(dataloader_idx):
            bar.reset(_finite(batches[dataloader_idx]))
            bar.set_description(f"{description} DataLoader {dataloader_idx}")

    def _move(self, stage: str, done: int) -> None:
        bar = self._bars.get(stage)
        if bar is not None and self._is_due(done, bar.total):
            bar.update(done - bar.n)
            if done == bar.total:
                bar.refresh()  # tqdm leaves out what comes too quickly

    @property
    def _shows_bars(self) -> bool:
        return self.is_enabled and self._is_terminal

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar, except inside a fit."""
        if self._shows_bars and not trainer.is_fitting:
            self._open("validation", self.init_validation_tqdm())

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Begin the loader's bar."""
        self._enter("validation", self.validation_description, trainer.num_val_batches, dataloader_idx)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: StepOutput,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Move the bar."""
        self._move("validation", batch_idx + 1)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar."""
        self._close("validation")

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar."""
        if self._shows_bars:
            self._open("test", self.init_test_tqdm())

    def on_test_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Begin the loader's bar."""
        self._enter("test", self.test_description, trainer.num_test_batches, dataloader_idx)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: StepOutput,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Move the bar."""
        self._move("test", batch_idx + 1)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar."""
        self._close("test")

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar."""
        if self._shows_bars:
            self._open("predict", self.init_predict_tqdm())

    def on_predict_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Begin the loader's bar."""
        self._enter("predict", self.predict_description, trainer.num_predict_batches, dataloader_idx)

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Move the bar."""
        self._move("predict", batch_idx + 1)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar."""
        self._close("predict")


def _finite(batches: float) -> int | None:
    return None if math.isinf(batches) else int(batches)
