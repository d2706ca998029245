"""What keeps hyperparameters, under the path that Lightning gives it."""

from trainer.model.hyperparameters import HyperparametersMixin

__all__ = ["HyperparametersMixin"]
