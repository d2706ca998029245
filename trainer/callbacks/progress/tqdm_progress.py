"""A bar on a terminal, drawn with tqdm."""

from __future__ import annotations

import math
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from trainer.callbacks.progress.progress_bar import SwitchedProgressBar, as_text, print_epoch
from trainer.types import Batch, EvalKind, Stage, StepOutput

if TYPE_CHECKING:
    from trainer.module import LightningModule
    from trainer.trainer import Trainer

_PAUSE_S = 0.1  # between two updates, where no rate was asked for: nobody sees more, and metrics cost a device read


class TQDMProgressBar(SwitchedProgressBar):
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
        super().__init__(max(refresh_rate, int(os.environ.get("TQDM_MINITERS", 0))) if refresh_rate else 0, leave)
        self._process_position = process_position
        self._bars: dict[str, Any] = {}  # tqdm ships no types
        self._is_terminal = False

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_bars": {}}

    @property
    def process_position(self) -> int:
        """Return the lines left free above the bar."""
        return self._process_position

    @property
    def leave(self) -> bool:
        """Return whether the bars of epochs are kept."""
        return self._leave

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

    def evaluation_start(self, trainer: Trainer, kind: EvalKind) -> None:
        """Open the bar, except for validation inside a fit."""
        if self.is_enabled and self._is_terminal and not trainer.is_fitting:
            self.reset_dataloader_idx_tracker()
            self._bars[kind] = getattr(self, f"init_{kind}_tqdm")()

    def evaluation_batch_start(self, trainer: Trainer, kind: EvalKind, dataloader_idx: int) -> None:
        """Begin the loader's bar anew."""
        bar = self._bars.get(kind)
        if bar is not None and self.has_dataloader_changed(dataloader_idx):
            bar.reset(_finite(trainer.evaluations[kind].num_batches[dataloader_idx]))
            bar.set_description(self._description(kind, dataloader_idx))

    def evaluation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, kind: EvalKind, batch: Batch, batch_idx: int
    ) -> None:
        """Move the bar."""
        bar, done = self._bars.get(kind), batch_idx + 1
        if bar is not None and self._is_due(done, bar.total):
            bar.update(done - bar.n)
            if done == bar.total:
                bar.refresh()  # tqdm leaves out what comes too quickly

    def evaluation_end(self, trainer: Trainer, kind: EvalKind) -> None:
        """Close the bar."""
        self._close(kind)


def _finite(batches: float) -> int | None:
    return None if math.isinf(batches) else int(batches)
