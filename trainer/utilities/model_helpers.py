"""Asking what a model brings of its own."""

from __future__ import annotations

from trainer.callback import Callback
from trainer.datamodule import LightningDataModule
from trainer.loops import hooks
from trainer.module import LightningModule

__all__ = ["is_overridden"]


def is_overridden(method_name: str, instance: object, parent: type | None = None) -> bool:
    """Return whether `instance` brings its own `method_name`.

    Args:
        method_name: name of a hook or step.
        instance: a module, data module or callback; None has nothing of its own.
        parent: the class to compare with; by default the base class of the instance's kind.

    Raises:
        ValueError: no base class is known, or it has no such method.
    """
    if instance is None:
        return False
    bases = (LightningModule, LightningDataModule, Callback)
    base = parent if parent is not None else next((kind for kind in bases if isinstance(instance, kind)), None)
    if base is None:
        raise ValueError(f"Got {type(instance).__name__}; expected a module, data module or callback. Pass `parent`.")
    if not hasattr(base, method_name):
        raise ValueError(f"{base.__name__} has no `{method_name}`. Got {method_name!r}; expected one of its methods.")
    return hooks.is_overridden(method_name, instance, base)
