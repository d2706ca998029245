"""Progress drawn with rich on a terminal, one line per epoch elsewhere."""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from trainer.callbacks.progress.progress_bar import SwitchedProgressBar, as_text, print_epoch
from trainer.types import Batch, EvalKind, Stage, StepOutput

if TYPE_CHECKING:
    from rich.style import Style

    from trainer.module import LightningModule
    from trainer.trainer import Trainer

_REFRESHES_PER_SECOND = 10


@dataclass
class RichProgressBarTheme:
    """Styles of the parts of a line, as rich names them.

    Attributes:
        description: "Epoch 3", "Testing".
        progress_bar: the bar while it moves.
        progress_bar_finished: the bar at its end.
        progress_bar_pulse: the bar of a loader without a length.
        batch_progress: batches done, of how many.
        time: time used and left.
        processing_speed: batches in a second.
        metrics: the metrics.
        metrics_text_delimiter: what stands between two metrics.
        metrics_format: format of a number.
    """

    description: str | Style = ""
    progress_bar: str | Style = "#6206E0"
    progress_bar_finished: str | Style = "#6206E0"
    progress_bar_pulse: str | Style = "#6206E0"
    batch_progress: str | Style = ""
    time: str | Style = "dim"
    processing_speed: str | Style = "dim underline"
    metrics: str | Style = "italic"
    metrics_text_delimiter: str = " "
    metrics_format: str = ".3f"


class RichProgressBar(SwitchedProgressBar):
    """A bar of the batches with rich; where the output is no terminal, one line after each epoch.

    Validation inside a fit has no bar of its own.

    Args:
        refresh_rate: drawings in a second, ten at most; 0 shows nothing.
        leave: keep the bar of each epoch.
        theme: styles.
        console_kwargs: arguments of `rich.console.Console`; by default it writes to stderr.

    Raises:
        ModuleNotFoundError: rich is not installed.
    """

    def __init__(
        self,
        refresh_rate: int = 100,
        leave: bool = False,
        theme: RichProgressBarTheme | None = None,
        console_kwargs: dict[str, Any] | None = None,
    ) -> None:
        if find_spec("rich") is None:
            raise ModuleNotFoundError("RichProgressBar needs rich: pip install rich. TQDMProgressBar is the default.")
        super().__init__(refresh_rate, leave)
        self._console_kwargs = console_kwargs or {}
        self._task: Any = None  # a rich TaskID
        self.theme = theme or RichProgressBarTheme()
        self.progress: Any = None  # a rich Progress, while bars are shown

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "progress": None, "_task": None}

    def configure_columns(self, trainer: Trainer) -> list[Any]:
        """Return the columns of a line, without the metrics; override to change them."""
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        theme = self.theme
        return [
            TextColumn("{task.description}", style=theme.description or "none"),
            BarColumn(
                complete_style=theme.progress_bar,
                finished_style=theme.progress_bar_finished,
                pulse_style=theme.progress_bar_pulse,
            ),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[speed]}", style=theme.processing_speed),
        ]

    def print(self, *values: object, **options: Any) -> None:
        """Print above the bar."""
        if self.progress is None:
            print(*values, **options)
        else:
            self.progress.console.print(*values, sep=options.get("sep", " "), markup=False, highlight=False)

    # One line

    def _open(self, trainer: Trainer, description: str, total: float, done: int = 0) -> None:
        """Show a bar, where there is a terminal."""
        from rich.console import Console
        from rich.progress import Progress, TextColumn

        self._close()
        console = Console(**{"stderr": True, **self._console_kwargs})
        if not self.is_enabled or not console.is_terminal:
            return
        self.progress = Progress(
            *self.configure_columns(trainer),
            TextColumn("{task.fields[metrics]}", style=self.theme.metrics),
            console=console,
            refresh_per_second=min(self.refresh_rate, _REFRESHES_PER_SECOND),
            transient=trainer.is_fitting and not self._leave,
        )
        self.progress.start()
        finite = None if total == float("inf") else total
        self._task = self.progress.add_task(description, total=finite, completed=done, metrics="", speed="")

    def _move(self, done: int, trainer: Trainer | None = None, pl_module: LightningModule | None = None) -> None:
        if self.progress is None:
            return
        task, now = self.progress.tasks[0], time.monotonic()
        if now - self._updated_s < 1 / _REFRESHES_PER_SECOND and done != task.total:
            return
        self._updated_s = now
        speed = f"{task.speed:.2f}it/s" if task.speed else ""
        fields = {} if trainer is None or pl_module is None else {"metrics": self._metrics(trainer, pl_module)}
        self.progress.update(self._task, completed=done, speed=speed, **fields)

    def _metrics(self, trainer: Trainer, pl_module: LightningModule) -> str:
        form = self.theme.metrics_format
        shown = {
            name: format(value, form) if isinstance(value, float) else as_text(value)
            for name, value in self.get_metrics(trainer, pl_module).items()
        }
        return self.theme.metrics_text_delimiter.join(f"{name}: {value}" for name, value in shown.items())

    def _close(self) -> None:
        if self.progress is not None:
            self.progress.stop()
            self.progress = None

    # Hooks

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the bar of the epoch."""
        done = trainer.train_state.batches_done
        self._open(trainer, f"Epoch {trainer.current_epoch}", self.total_train_batches, done)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: StepOutput, batch: Batch, batch_idx: int
    ) -> None:
        """Move the bar."""
        self._move(batch_idx + 1, trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the bar, or write the epoch's line."""
        if self.progress is not None:
            done, metrics = trainer.train_state.batches_done, self._metrics(trainer, pl_module)
            self.progress.update(self._task, completed=done, metrics=metrics)
            self._close()
        elif self.is_enabled:
            print_epoch(self, trainer, pl_module)

    def evaluation_batch_start(self, trainer: Trainer, kind: EvalKind, dataloader_idx: int) -> None:
        """Open the loader's bar, except for validation inside a fit."""
        if not trainer.is_fitting and self.has_dataloader_changed(dataloader_idx):
            total = trainer.evaluations[kind].num_batches[dataloader_idx]
            self._open(trainer, self._description(kind, dataloader_idx), total)

    def evaluation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, kind: EvalKind, batch: Batch, batch_idx: int
    ) -> None:
        """Move the bar."""
        if not trainer.is_fitting:
            self._move(batch_idx + 1)

    def evaluation_end(self, trainer: Trainer, kind: EvalKind) -> None:
        """Close the bar."""
        if not trainer.is_fitting:
            self.reset_dataloader_idx_tracker()
            self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the terminal as it was."""
        self._close()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: Stage) -> None:
        """Leave the terminal as it was."""
        self._close()
