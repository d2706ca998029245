"""Module and data module, under the path that Lightning gives them."""

from trainer.datamodule import LightningDataModule
from trainer.module import LightningModule
from trainer.optimization.manual import LightningOptimizer

__all__ = ["LightningDataModule", "LightningModule", "LightningOptimizer"]
