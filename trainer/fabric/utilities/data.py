"""A dict with attributes, under the path that Lightning gives it."""

from trainer.model.hyperparameters import AttributeDict

__all__ = ["AttributeDict"]
