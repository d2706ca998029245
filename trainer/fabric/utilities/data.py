"""A dict with attributes, under the path that Lightning gives it."""

from trainer.hyperparameters import AttributeDict

__all__ = ["AttributeDict"]
