"""What a callback does alike in validation, test and prediction, written once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainer.callback import Callback
from trainer.types import Batch, EvalKind, StepOutput

if TYPE_CHECKING:
    from trainer.module import LightningModule
    from trainer.trainer import Trainer


class EvaluationStages(Callback):
    """Calls four methods, which are told the stage, from the hooks of validation, test and prediction."""

    def evaluation_start(self, trainer: Trainer, kind: EvalKind) -> None:
        """Do what the beginning of a pass asks for."""

    def evaluation_batch_start(self, trainer: Trainer, kind: EvalKind, dataloader_idx: int) -> None:
        """Do what the beginning of a batch asks for."""

    def evaluation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, kind: EvalKind, batch: Batch, batch_idx: int
    ) -> None:
        """Do what the end of a batch asks for."""

    def evaluation_end(self, trainer: Trainer, kind: EvalKind) -> None:
        """Do what the end of a pass asks for."""

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Pass on that validation begins."""
        self.evaluation_start(trainer, "validation")

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Pass on that a batch of validation begins."""
        self.evaluation_batch_start(trainer, "validation", dataloader_idx)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: StepOutput,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Pass on that a batch of validation ended."""
        self.evaluation_batch_end(trainer, pl_module, "validation", batch, batch_idx)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Pass on that validation ended."""
        self.evaluation_end(trainer, "validation")

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Pass on that a test begins."""
        self.evaluation_start(trainer, "test")

    def on_test_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Pass on that a batch of a test begins."""
        self.evaluation_batch_start(trainer, "test", dataloader_idx)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: StepOutput,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Pass on that a batch of a test ended."""
        self.evaluation_batch_end(trainer, pl_module, "test", batch, batch_idx)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Pass on that a test ended."""
        self.evaluation_end(trainer, "test")

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Pass on that a prediction begins."""
        self.evaluation_start(trainer, "predict")

    def on_predict_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Pass on that a batch of a prediction begins."""
        self.evaluation_batch_start(trainer, "predict", dataloader_idx)

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Pass on that a batch of a prediction ended."""
        self.evaluation_batch_end(trainer, pl_module, "predict", batch, batch_idx)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Pass on that a prediction ended."""
        self.evaluation_end(trainer, "predict")
