"""Writing predictions while they are made."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

from trainer.callback import Callback
from trainer.errors import MisconfigurationException, four_parts
from trainer.types import Batch

if TYPE_CHECKING:
    from trainer.module import LightningModule
    from trainer.trainer import Trainer


class WriteInterval(StrEnum):
    """When predictions are written."""

    BATCH = "batch"
    EPOCH = "epoch"
    BATCH_AND_EPOCH = "batch_and_epoch"

    @property
    def on_batch(self) -> bool:
        """Return whether each batch is written."""
        return self is not WriteInterval.EPOCH

    @property
    def on_epoch(self) -> bool:
        """Return whether everything is written at the end."""
        return self is not WriteInterval.BATCH


class BasePredictionWriter(Callback):
    """Base of callbacks that write predictions. Write `write_on_batch_end`, `write_on_epoch_end`, or both.

    Use it with `trainer.predict(..., return_predictions=False)`: written by batch, nothing piles up in memory. Every
    process writes its own part; the indices say which samples of the data set it is.

    Args:
        write_interval: write each "batch", everything at the end of the "epoch", or "batch_and_epoch".
    """

    def __init__(self, write_interval: Literal["batch", "epoch", "batch_and_epoch"] = "batch") -> None:
        known = [interval.value for interval in WriteInterval]
        if write_interval not in known:
            raise MisconfigurationException(
                four_parts("A prediction writer cannot tell when to write.", got=write_interval,
                           expected=f"one of {known}", remedy="Correct `write_interval`.")
            )  # fmt: skip
        self.interval = WriteInterval(write_interval)

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Any,
        batch_indices: Sequence[int] | None,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Write one batch.

        Args:
            trainer: the trainer.
            pl_module: the model.
            prediction: what `predict_step` returned.
            batch_indices: indices of the batch's samples in the data set, None where the data set has none.
            batch: the batch.
            batch_idx: its number.
            dataloader_idx: the loader's number.
        """
        raise NotImplementedError(f"{type(self).__name__} has no `write_on_batch_end`. Write one.")

    def write_on_epoch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        predictions: Sequence[Any],
        batch_indices: Sequence[Any],
    ) -> None:
        """Write everything.

        Args:
            trainer: the trainer.
            pl_module: the model.
            predictions: what `predict_step` returned for each batch; a list for each loader where there are several.
            batch_indices: for each loader, for each batch, the indices of its samples.
        """
        raise NotImplementedError(f"{type(self).__name__} has no `write_on_epoch_end`. Write one.")

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write the batch."""
        if self.interval.on_batch:
            indices = trainer.predict_loop.current_batch_indices
            self.write_on_batch_end(trainer, pl_module, outputs, indices, batch, batch_idx, dataloader_idx)

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write everything."""
        if self.interval.on_epoch:
            loop = trainer.predict_loop
            self.write_on_epoch_end(trainer, pl_module, loop.predictions, loop.epoch_batch_indices)
