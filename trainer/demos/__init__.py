"""Small models and data for trying things out and for tests."""

from trainer.demos import boring_classes

__all__ = ["boring_classes"]
