"""The module, under the path that Lightning gives it."""

from trainer.module import LightningModule

__all__ = ["LightningModule"]
