"""A table of the model's layers, printed before a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainer.callback import Callback

if TYPE_CHECKING:
    from trainer.module import LightningModule
    from trainer.trainer import Trainer
    from trainer.utilities.model_summary import ModelSummary as Summary


class ModelSummary(Callback):
    """Prints the model's layers on rank zero when a fit begins; see `trainer.utilities.ModelSummary`.

    Args:
        max_depth: how deep layers inside layers are listed; -1 lists all, 0 prints nothing.
        summarize_kwargs: kept for subclasses that show the table in their own way.
    """

    def __init__(self, max_depth: int = 1, **summarize_kwargs: Any) -> None:
        self._max_depth = max_depth
        self._summarize_kwargs = summarize_kwargs

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the table."""
        if not self._max_depth or not trainer.is_global_zero:
            return
        from trainer.utilities.model_summary import summarize

        self.show(trainer, summarize(pl_module, self._max_depth))

    def show(self, trainer: Trainer, summary: Summary) -> None:
        """Print `summary`; override to show it in another way."""
        trainer.print(summary)
