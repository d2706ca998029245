"""Moving a batch to its device."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from trainer.types import Batch, Hook

if TYPE_CHECKING:
    from trainer.trainer import Trainer

_HOOKS = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer")


def map_tensors(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    """Return `value` with every tensor in it replaced by `function(tensor)`.

    Looks into tuples, named tuples, lists, mappings and dataclasses; everything else is returned as it is.
    """
    return map_leaves(lambda leaf: function(leaf) if isinstance(leaf, Tensor) else leaf, value)


def map_leaves(function: Callable[[Any], Any], value: Any) -> Any:
    """Return `value` with everything in it that is no collection replaced by `function(it)`.

    Looks into tuples, named tuples, lists, mappings and dataclasses, unless they have a `to` method of their own.
    """
    if isinstance(value, Tensor) or callable(getattr(value, "to", None)):
        return function(value)
    if isinstance(value, tuple):
        parts = [map_leaves(function, part) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if isinstance(value, list):
        return [map_leaves(function, part) for part in value]
    if isinstance(value, Mapping):
        mapped = {key: map_leaves(function, part) for key, part in value.items()}
        return mapped if type(value) is dict else type(value)(mapped)  # type: ignore[call-arg]  # mappings take one
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value) if field.init]
        return dataclasses.replace(value, **{name: map_leaves(function, getattr(value, name)) for name in names})
    return function(value)


def tensors_from_numbers(value: Any, device: torch.device) -> Any:
    """Return `value` with every number in it as a tensor on `device`."""
    return map_leaves(lambda leaf: torch.tensor(leaf, device=device) if isinstance(leaf, int | float) else leaf, value)


def move_to_device(batch: Batch, device: torch.device | str) -> Batch:
    """Return `batch` with everything that has a `to` method on `device`; what is there already is not copied."""
    device = torch.device(device)

    def move(leaf: Any) -> Any:
        if isinstance(leaf, Tensor):
            return leaf.to(device, non_blocking=device.type == "cuda")
        if not callable(getattr(leaf, "to", None)):
            return leaf
        moved = leaf.to(device)
        return leaf if moved is None else moved  # a `to` that works in place need not return anything

    return map_leaves(move, batch)


def choose_transfer(trainer: Trainer, dataloader_idx: int = 0) -> Hook | None:
    """Return what brings one batch to the device, or None where nothing has to be done.

    On a CPU, at the usual precision and without written transfer hooks, a batch is used as it comes.
    """
    from trainer.data.hooks import DataHooks
    from trainer.loops.hooks import is_overridden

    plugin = trainer.precision_options.plugin
    device, dtype = trainer.strategy.device, trainer.precision_options.parameters
    sources = [source for source in (trainer.datamodule, trainer.lightning_module) if source is not None]
    owner = {
        name: next((source for source in sources if is_overridden(name, source, DataHooks)), sources[-1])
        for name in _HOOKS
    }
    written = any(is_overridden(name, source, DataHooks) for name, source in owner.items())
    if device.type == "cpu" and dtype is None and plugin is None and not written:
        return None
    before, transfer, after = (getattr(owner[name], name) for name in _HOOKS)

    def move(batch: Batch) -> Batch:
        if plugin is not None:
            batch = plugin.convert_input(batch)
        moved = transfer(before(batch, dataloader_idx), device, dataloader_idx)
        if dtype is not None:
            moved = map_tensors(lambda tensor: tensor.to(dtype) if tensor.is_floating_point() else tensor, moved)
        return after(moved, dataloader_idx)

    return move


def whole_tensor(tensor: Tensor) -> Tensor:
    """Return a tensor that is split over processes (a DTensor) as a whole; all of them take part. Others are returned.

    The class is known by its method, as it takes a while to import.
    """
    return tensor if type(tensor) is Tensor or not hasattr(tensor, "full_tensor") else tensor.full_tensor()
