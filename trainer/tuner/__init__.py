"""Finding a learning rate and a batch size before training."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainer.tuner.tuner import Tuner

__all__ = ["Tuner"]


def __getattr__(name: str) -> object:
    # The callbacks that search are part of it, and the trainer knows its exit: imported when used, not in a circle.
    if name == "Tuner":
        return import_module("trainer.tuner.tuner").Tuner
    raise AttributeError(f"module 'trainer.tuner' has no attribute {name!r}; it has {__all__}")
