"""The hooks about data that modules and data modules share."""

from __future__ import annotations

from typing import Any

import torch

from trainer.data.transfer import move_to_device
from trainer.errors import MisconfigurationException
from trainer.types import Batch, Stage


def _unwritten(name: str) -> MisconfigurationException:
    return MisconfigurationException(f"There is no `{name}`. Got none; expected the hook, or loaders. Write it.")


class DataHooks:
    """Where the data comes from, and how a batch gets to the device."""

    prepare_data_per_node: bool = True

    def prepare_data(self) -> None:
        """Download or build files; called in one process of each machine. Set no attributes here."""

    def setup(self, stage: Stage) -> None:
        """Load what each process needs, before the loaders are asked for."""

    def teardown(self, stage: Stage) -> None:
        """Free what `setup` took; called last in every run, also after an exception."""

    def train_dataloader(self) -> Any:  # any iterable
        """Return the loader of training batches."""
        raise _unwritten("train_dataloader")

    def val_dataloader(self) -> Any:  # any iterable, or a list of them
        """Return one or several loaders of validation batches."""
        raise _unwritten("val_dataloader")

    def test_dataloader(self) -> Any:  # any iterable, or a list of them
        """Return one or several loaders of test batches."""
        raise _unwritten("test_dataloader")

    def predict_dataloader(self) -> Any:  # any iterable, or a list of them
        """Return one or several loaders of batches to predict."""
        raise _unwritten("predict_dataloader")

    def on_before_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Return the batch to move; change it here while it is still on the CPU."""
        return batch

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Return the batch on `device`; write it for containers that the default does not know."""
        return move_to_device(batch, device)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Return the batch to train on; change it here when it is on its device."""
        return batch
