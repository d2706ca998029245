"""The data module, under the path that Lightning gives it."""

from trainer.datamodule import LightningDataModule

__all__ = ["LightningDataModule"]
