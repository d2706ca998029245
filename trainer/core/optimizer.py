"""The optimizer that user code sees, under the path that Lightning gives it."""

from trainer.optimization.manual import LightningOptimizer

__all__ = ["LightningOptimizer"]
