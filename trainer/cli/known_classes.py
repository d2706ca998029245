"""Importing every class that ships with the trainer, so that a command line can name it without its module."""

from __future__ import annotations

import functools
from importlib import import_module

PACKAGES = ("callbacks", "loggers", "profilers", "strategies", "plugins")


@functools.cache
def import_known_classes() -> None:
    """Import what the trainer's packages offer; what needs a missing package is left out."""
    for name in PACKAGES:
        package = import_module(f"trainer.{name}")
        for member in package.__all__:
            try:
                getattr(package, member)
            except ImportError:
                continue
