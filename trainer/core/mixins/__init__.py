"""What keeps hyperparameters, under the path that Lightning gives it."""

from trainer.hyperparameters import HyperparametersMixin

__all__ = ["HyperparametersMixin"]
