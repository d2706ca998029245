"""Command lines for training scripts, with the API of `lightning.pytorch.cli`; needs jsonargparse."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainer.cli.command_line import ArgsType, LightningCLI
    from trainer.cli.instantiation import instantiate_class, instantiate_module
    from trainer.cli.optimizers import (
        LRSchedulerCallable,
        LRSchedulerType,
        LRSchedulerTypeTuple,
        LRSchedulerTypeUnion,
        OptimizerCallable,
        ReduceLROnPlateau,
    )
    from trainer.cli.parser import LightningArgumentParser
    from trainer.cli.save_config import SaveConfigCallback

_PLACES = {
    "ArgsType": "trainer.cli.command_line",
    "LRSchedulerCallable": "trainer.cli.optimizers",
    "LRSchedulerType": "trainer.cli.optimizers",
    "LRSchedulerTypeTuple": "trainer.cli.optimizers",
    "LRSchedulerTypeUnion": "trainer.cli.optimizers",
    "LightningArgumentParser": "trainer.cli.parser",
    "LightningCLI": "trainer.cli.command_line",
    "OptimizerCallable": "trainer.cli.optimizers",
    "ReduceLROnPlateau": "trainer.cli.optimizers",
    "SaveConfigCallback": "trainer.cli.save_config",
    "instantiate_class": "trainer.cli.instantiation",
    "instantiate_module": "trainer.cli.instantiation",
}
_WITHOUT_JSONARGPARSE = ("trainer.cli.optimizers",)

__all__ = [
    "ArgsType",
    "LRSchedulerCallable",
    "LRSchedulerType",
    "LRSchedulerTypeTuple",
    "LRSchedulerTypeUnion",
    "LightningArgumentParser",
    "LightningCLI",
    "OptimizerCallable",
    "ReduceLROnPlateau",
    "SaveConfigCallback",
    "instantiate_class",
    "instantiate_module",
]


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module 'trainer.cli' has no attribute {name!r}; it has {__all__}")
    place = _PLACES[name]
    if place not in _WITHOUT_JSONARGPARSE:
        _require_jsonargparse(name)
    return getattr(import_module(place), name)


def __dir__() -> list[str]:
    return sorted(__all__)


def _require_jsonargparse(name: str) -> None:
    """Refuse what cannot be had without jsonargparse and the package that reads docstrings for it.

    Raises:
        ModuleNotFoundError: one of them is not installed; the message says what to install.
    """
    for module in ("jsonargparse", "docstring_parser"):
        if find_spec(module) is None:
            raise ModuleNotFoundError(
                f"trainer.cli.{name} needs the package {module}, which is not installed. Install it: pip install "
                '"jsonargparse[signatures]>=4.40", or this project with its extra `cli`.',
                name=module,
            )
