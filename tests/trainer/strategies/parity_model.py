"""What the models of the parity tests have in common: how they are evaluated, and their optimizers by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor

import trainer as L


class ParityModel(L.LightningModule, ABC):
    """A model whose children say what `net` is, how the loss is computed, and what "groups" are of it."""

    net: Any
    losses: list[float]
    """Over the global batch of each step."""

    def __init__(self, optimizer: str) -> None:
        super().__init__()
        self.kind = optimizer
        self.losses = []

    @abstractmethod
    def loss(self, batch: Any) -> Tensor:
        """Return the loss of a batch."""

    @abstractmethod
    def groups(self) -> Any:
        """Return the parameters of "groups", as an optimizer takes them."""

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.log("val_loss", self.loss(batch))

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        out: Tensor = self.net(batch[0])
        return out

    def configure_optimizers(self) -> Any:
        if self.kind == "adam":
            return torch.optim.Adam(self.parameters(), lr=0.02)
        if self.kind == "groups":
            return self.groups()
        optimizer = torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)
        return {"optimizer": optimizer, "lr_scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)}
