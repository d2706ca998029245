"""The base class of callbacks: every hook, empty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor
from torch.optim import Optimizer

from trainer.types import Batch, PlainState, Stage, StepOutput

if TYPE_CHECKING:
    from trainer.module import LightningModule
    from trainer.trainer import Trainer


class Callback:
    """Something that watches or steers a run from outside the model.

    Write only the hooks you need: one that is not written costs nothing. Hooks run on all callbacks in the order
    they were given, then on the module. Those that only watch metrics (`is_monitor`) run after the module at the end
    of an epoch; checkpoint callbacks come last of all.
    """

    is_monitor: ClassVar[bool] = False
    _module: LightningModule | None = None  # of the current run

    @property
    def state_key(self) -> str:
        """Return the name of this callback's state in a checkpoint; unique among the callbacks of a run."""
        return type(self).__qualname__

    def state_dict(self) -> PlainState:
        """Return what a resumed run needs, as plain data and tensors."""
        return {}

    def load_state_dict(self, state_dict: PlainState) -> None:
        """Continue from what `state_dict` returned."""

    def log(self, name: str, value: Any, **options: Any) -> None:
        """Record a value as `pl_module.log` does, inside a run."""
        if self._module is None:
            raise RuntimeError(f"{type(self).__name__}.log({name!r}, ...) was called outside a run of a Trainer.")
        self._module.log(name, value, **options)

    def log_dict(self, dictionary: Mapping[str, Any], **options: Any) -> None:
        """Record several values with the same options as for `log`."""
        for name, value in dictionary.items():
            self.log(name, value, **options)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: Stage) -> None:
        """Called when a run begins, before the model is built and moved."""

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: Stage) -> None:
        """Called last in every run, also after an exception."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called when optimizers and device are ready, before the sanity check."""

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called when fitting ended without an exception."""

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called before the validation batches that run ahead of training."""

    def on_sanity_check_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called after the validation batches that run ahead of training."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called once before the first training batch of a fit."""

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called once after the last training batch of a fit."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called before the first batch of a training epoch."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called after the last batch of a training epoch, with its metrics known."""

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int
    ) -> int | None:
        """Called before each training batch; returning -1 skips the rest of the epoch."""
        return None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: StepOutput, batch: Batch, batch_idx: int
    ) -> None:
        """Called after each training batch; `outputs` holds the detached loss."""

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called before a validation run."""

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called after a validation run, with its metrics known."""

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called before the first validation batch."""

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called after the last validation batch; may still log."""

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Called before each validation batch."""

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: StepOutput,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Called after each validation batch."""

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called before a test run."""

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called after a test run, with its metrics known."""

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called before the first test batch."""

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called after the last test batch; may still log."""

    def on_test_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Called before each test batch."""

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: StepOutput,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Called after each test batch."""

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called before a prediction run."""

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called after a prediction run."""

    def on_predict_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called before the first prediction batch."""

    def on_predict_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called after the last prediction batch."""

    def on_predict_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Called before each prediction batch."""

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Called after each prediction batch."""

    def on_before_zero_grad(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Called before gradients are cleared."""

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Called before the backward pass."""

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Called after the backward pass, before the optimizer step."""

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Called before clipping and the optimizer step."""

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Called when an exception ends the run, before teardown."""

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: PlainState) -> None:
        """Called with the checkpoint before it is written; may add plain data."""

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: PlainState) -> None:
        """Called with the checkpoint that was read, before training goes on."""
