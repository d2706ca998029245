"""Training on torch with the API of PyTorch Lightning: `import trainer as L`."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainer import (
        accelerators,
        callbacks,
        cli,
        core,
        demos,
        errors,
        fabric,
        loggers,
        plugins,
        profilers,
        strategies,
        tuner,
        utilities,
    )
    from trainer.callback import Callback
    from trainer.datamodule import LightningDataModule
    from trainer.fabric import Fabric
    from trainer.module import LightningModule
    from trainer.seed import seed_everything
    from trainer.trainer import Trainer

__all__ = [
    "Callback",
    "Fabric",
    "LightningDataModule",
    "LightningModule",
    "Trainer",
    "accelerators",
    "callbacks",
    "cli",
    "core",
    "demos",
    "errors",
    "fabric",
    "loggers",
    "plugins",
    "profilers",
    "seed_everything",
    "strategies",
    "tuner",
    "utilities",
]

_PLACES = {
    "Callback": "trainer.callback",
    "Fabric": "trainer.fabric",
    "LightningDataModule": "trainer.datamodule",
    "LightningModule": "trainer.module",
    "Trainer": "trainer.trainer",
    "seed_everything": "trainer.seed",
}
_SUBPACKAGES = frozenset(__all__) - _PLACES.keys()


def __getattr__(name: str) -> object:
    # torch is imported when a name is used, not when the package is.
    if name == "pytorch":
        return sys.modules[__name__]  # `L.pytorch.callbacks` is `L.callbacks`
    if name == "__version__":
        return import_module("importlib.metadata").version("homeroom")
    if name in _SUBPACKAGES:
        return import_module(f"trainer.{name}")
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'trainer' has no attribute {name!r}; it has {__all__}")


def __dir__() -> list[str]:
    return sorted(__all__)
