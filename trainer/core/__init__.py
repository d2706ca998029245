"""Module and data module, under the path that Lightning gives them."""

from trainer.datamodule import LightningDataModule
from trainer.manual import LightningOptimizer
from trainer.module import LightningModule

__all__ = ["LightningDataModule", "LightningModule", "LightningOptimizer"]
