"""The hooks that a LightningModule may write, all empty."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from trainer.types import Batch, PlainState, StepOutput


class ModuleHooks:
    """Hooks of the model. One that is not written costs nothing; callbacks' hooks of the same name run first."""

    def on_fit_start(self) -> None:
        """Called when optimizers and device are ready, before the sanity check."""

    def on_fit_end(self) -> None:
        """Called when fitting ended without an exception."""

    def on_train_start(self) -> None:
        """Called once before the first training batch of a fit."""

    def on_train_end(self) -> None:
        """Called once after the last training batch of a fit."""

    def on_train_epoch_start(self) -> None:
        """Called before the first batch of a training epoch."""

    def on_train_epoch_end(self) -> None:
        """Called after the last batch of a training epoch, with its metrics known."""

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> int | None:
        """Called before each training batch; returning -1 skips the rest of the epoch."""
        return None

    def on_train_batch_end(self, outputs: StepOutput, batch: Batch, batch_idx: int) -> None:
        """Called after each training batch; `outputs` holds the detached loss."""

    def on_validation_start(self) -> None:
        """Called before a validation run."""

    def on_validation_end(self) -> None:
        """Called after a validation run, with its metrics known."""

    def on_validation_epoch_start(self) -> None:
        """Called before the first validation batch."""

    def on_validation_epoch_end(self) -> None:
        """Called after the last validation batch; may still log."""

    def on_validation_batch_start(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Called before each validation batch."""

    def on_validation_batch_end(
        self, outputs: StepOutput, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Called after each validation batch."""

    def on_test_start(self) -> None:
        """Called before a test run."""

    def on_test_end(self) -> None:
        """Called after a test run, with its metrics known."""

    def on_test_epoch_start(self) -> None:
        """Called before the first test batch."""

    def on_test_epoch_end(self) -> None:
        """Called after the last test batch; may still log."""

    def on_test_batch_start(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Called before each test batch."""

    def on_test_batch_end(self, outputs: StepOutput, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Called after each test batch."""

    def on_predict_start(self) -> None:
        """Called before a prediction run."""

    def on_predict_end(self) -> None:
        """Called after a prediction run."""

    def on_predict_epoch_start(self) -> None:
        """Called before the first prediction batch."""

    def on_predict_epoch_end(self) -> None:
        """Called after the last prediction batch."""

    def on_predict_batch_start(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Called before each prediction batch."""

    def on_predict_batch_end(self, outputs: Any, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Called after each prediction batch."""

    def on_before_zero_grad(self, optimizer: Optimizer) -> None:
        """Called before gradients are cleared."""

    def on_before_backward(self, loss: Tensor) -> None:
        """Called before the backward pass."""

    def on_after_backward(self) -> None:
        """Called after the backward pass, before the optimizer step."""

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Called before clipping and the optimizer step."""

    def on_save_checkpoint(self, checkpoint: PlainState) -> None:
        """Called with the checkpoint before it is written; may add plain data."""

    def on_load_checkpoint(self, checkpoint: PlainState) -> None:
        """Called with the checkpoint that was read, before training goes on."""
