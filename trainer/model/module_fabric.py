"""A LightningModule that Fabric set up: where its logging goes, and what stands in the place of its trainer."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Number
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from trainer.fabric import Fabric


def log_through(fabric: Fabric, values: Mapping[str, Any], logger: bool | None) -> None:
    """Pass values that a module logs to Fabric's loggers; nothing where `logger` is False.

    Raises:
        ValueError: a value is neither a number nor a tensor.
    """
    if logger is False:
        return
    for name, value in values.items():
        if not isinstance(value, Number | Tensor):
            raise ValueError(
                f"`self.log({name!r}, {value!r})` was called under Fabric. Got a {type(value).__name__}; expected a "
                "number or a tensor of one element. Log its numbers one by one."
            )
    fabric.log_dict(values)


class FabricInTrainersPlace:
    """What `self.trainer` is under Fabric: the attributes that Fabric has, too."""

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric

    def __getattr__(self, name: str) -> Any:
        try:
            return getattr(self._fabric, name)
        except AttributeError:
            raise AttributeError(
                f"The module asked for `self.trainer.{name}`, which is not available when it is used with Fabric. Ask "
                "for `self._trainer is None` first, or keep the value in the module."
            ) from None
