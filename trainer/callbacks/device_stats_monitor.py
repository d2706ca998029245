"""Logging how busy the device is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trainer.callback import Callback
from trainer.errors import MisconfigurationException, four_parts
from trainer.types import Batch, Stage, StepOutput

if TYPE_CHECKING:
    from trainer.module import LightningModule
    from trainer.trainer import Trainer


def cpu_stats() -> dict[str, float]:
    """Return the shares of processor, memory and swap space that this machine uses, in percent."""
    try:
        import psutil
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("DeviceStatsMonitor needs psutil for the CPU: pip install psutil.") from error
    return {
        "cpu_percent": psutil.cpu_percent(),
        "cpu_vm_percent": psutil.virtual_memory().percent,
        "cpu_swap_percent": psutil.swap_memory().percent,
    }


class DeviceStatsMonitor(Callback):
    """Passes numbers of the device to the loggers, before and after every batch that is logged.

    They are called "DeviceStatsMonitor.on_train_batch_start/cpu_percent" and so on. Nothing waits for the device.

    Args:
        cpu_stats: the CPU's numbers too, whatever the device is; None only where the device is the CPU, False never.
    """

    def __init__(self, cpu_stats: bool | None = None) -> None:
        self._cpu_stats = cpu_stats

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: Stage) -> None:
        """Look whether somebody listens.

        Raises:
            MisconfigurationException: the trainer has no logger.
            ModuleNotFoundError: psutil is needed and not there.
        """
        if stage != "fit":
            return
        if not trainer.loggers and not trainer.fast_dev_run:
            raise MisconfigurationException(
                four_parts("DeviceStatsMonitor has nobody to tell.", got="a trainer without a logger",
                           expected="a logger", remedy="Pass logger=True, or remove the callback.")
            )  # fmt: skip
        if self._cpu_stats or (self._cpu_stats is None and trainer.strategy.device.type == "cpu"):
            cpu_stats()  # the first call only starts the measurement

    def _log(self, trainer: Trainer, hook: str, number: int) -> None:
        """Log where `number` batches are a multiple of those that are logged."""
        every = trainer.reporting.log_every_n_steps
        if not every or number % every or not trainer.loggers or trainer.is_sanity_checking:
            return
        device = trainer.strategy.device
        stats = (
            {} if self._cpu_stats is False and device.type == "cpu" else trainer.accelerator.get_device_stats(device)
        )
        if self._cpu_stats and device.type != "cpu":
            stats |= cpu_stats()
        prefix = f"{type(self).__qualname__}.{hook}"
        trainer.log_values({f"{prefix}/{name}": value for name, value in stats.items()}, self._step(trainer))

    @staticmethod
    def _step(trainer: Trainer) -> int:
        return trainer.train_state.stepped_batches

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        """Log before the batch."""
        self._log(trainer, "on_train_batch_start", trainer.train_state.total_batches + 1)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: StepOutput, batch: Batch, batch_idx: int
    ) -> None:
        """Log after the batch."""
        self._log(trainer, "on_train_batch_end", trainer.train_state.total_batches)

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Log before the batch."""
        self._log(trainer, "on_validation_batch_start", batch_idx + 1)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: StepOutput,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Log after the batch."""
        self._log(trainer, "on_validation_batch_end", batch_idx + 1)

    def on_test_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Log before the batch."""
        self._log(trainer, "on_test_batch_start", batch_idx + 1)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Log after the batch."""
        self._log(trainer, "on_test_batch_end", batch_idx + 1)
