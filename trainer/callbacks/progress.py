"""Showing how far a run is: a bar on a terminal, one line per epoch elsewhere."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Any, ClassVar

from tqdm import tqdm

from trainer.callback import Callback
from trainer.types import Batch, StepOutput

if TYPE_CHECKING:
    from trainer.module import LightningModule
    from trainer.trainer import Trainer


class ProgressBar(Callback):
    """Base of progress displays; a trainer has one at most.

    Attributes:
        is_enabled: whether anything is shown; off on all ranks but zero.
    """

    is_monitor: ClassVar[bool] = True

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

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, str]:
        """Return what is shown beside the progress; override to add or remove values."""
        return {name: f"{value:.4g}" for name, value in trainer.progress_bar_metrics.items()}


class TQDMProgressBar(ProgressBar):
    """A bar of the epoch's batches on a terminal; one line after each epoch where the output is a file or a pipe.

    Args:
        refresh_rate: batches between two updates; metrics are read only then. 0 shows nothing.
        leave: keep the bar of each epoch.
    """

    def __init__(self, refresh_rate: int = 10, leave: bool = False) -> None:
        super().__init__()
        self.refresh_rate = refresh_rate
        self.leave = leave
        self._bar: Any = None  # tqdm ships no types
        self._is_terminal = False

    @property
    def is_shown(self) -> bool:
        """Return whether anything is shown."""
        return self.is_enabled and self.refresh_rate > 0

    def print(self, *values: object, **options: Any) -> None:
        """Print above the bar."""
        if self._bar is None:
            print(*values, **options)
        else:
            tqdm.write(options.get("sep", " ").join(map(str, values)), file=sys.stdout)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look what kind of output there is."""
        self._is_terminal = sys.stderr.isatty()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar of the epoch."""
        if self.is_shown and self._is_terminal:
            total = trainer.num_training_batches
            self._bar = tqdm(
                total=None if math.isinf(total) else int(total),
                initial=trainer.train_state.batches_done,
                desc=f"Epoch {trainer.current_epoch}",
                leave=self.leave,
                dynamic_ncols=True,
                file=sys.stderr,
            )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: StepOutput, batch: Batch, batch_idx: int
    ) -> None:
        """Move the bar, every `refresh_rate` batches."""
        if self._bar is None or (batch_idx + 1) % self.refresh_rate:
            return
        self._bar.set_postfix(self.get_metrics(trainer, pl_module), refresh=False)
        self._bar.update(batch_idx + 1 - self._bar.n)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar, or write the epoch's line."""
        metrics = self.get_metrics(trainer, pl_module) if self.is_shown else {}
        if self._bar is not None:
            self._bar.set_postfix(metrics, refresh=False)
            self._bar.update(trainer.train_state.batches_done - self._bar.n)
            self._close()
        elif self.is_shown:
            total = trainer.length.max_epochs
            of = f"/{total}" if total > 0 else ""
            shown = "  ".join(f"{name} {value}" for name, value in metrics.items())
            step = trainer.global_step
            print(f"epoch {trainer.current_epoch + 1}{of}  step {step}  {shown}".rstrip(), file=sys.stderr, flush=True)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the terminal as it was."""
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
