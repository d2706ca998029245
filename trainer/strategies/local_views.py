"""Parameters that are split or copied over a tensor-parallel group, as a forward pass without DTensors sees them.

Every parameter of a model under `model_parallel` is a DTensor, so that optimizers and clipping treat all alike. Layers
that a plan leaves alone compute with plain tensors, which DTensors do not mix with: while the model computes, their
parameters are read as plain local tensors. Optimizers, checkpoints and hooks see the DTensors.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Partial, Placement, Replicate

_VIEWS = "_trainer_local_views"


class _Depth:
    """How many computing blocks this process is in."""

    value = 0


@contextmanager
def computing() -> Iterator[None]:
    """Let the block read the parameters of plain layers as local tensors."""
    _Depth.value += 1
    try:
        yield
    finally:
        _Depth.value -= 1


def _is_computing() -> bool:
    # The number is -1 outside a backward pass; in one, checkpointed layers compute again.
    return _Depth.value > 0 or torch._C._current_graph_task_id() != -1


class _LocalViews:
    """Mixed into the class of a module whose own parameters are read as local tensors."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with computing():
            return super().__call__(*args, **kwargs)  # type: ignore[misc]  # mixed into nn.Module

    def __getattr__(self, name: str) -> Any:
        value = super().__getattr__(name)  # type: ignore[misc]  # mixed into nn.Module
        views = self.__dict__[_VIEWS]
        return _local(value, views[name][1]) if name in views and _is_computing() else value


class _LocalRecurrentViews(_LocalViews):
    """The same for LSTM, GRU and RNN, which keep their parameters in a list too."""

    @property
    def _flat_weights(self) -> list[Any]:
        # The list in the instance may hold parameters of before the split.
        return [getattr(self, name) for name in self._flat_weights_names]

    @_flat_weights.setter
    def _flat_weights(self, values: list[Any]) -> None:
        self.__dict__["_flat_weights"] = values


def _local(value: Any, gradient: Placement | None) -> Any:
    """Return a parameter's local tensor; one that data-parallel processes still share out stays as it is."""
    if not isinstance(value, DTensor) or value.device_mesh.ndim != 1:
        return value
    if gradient is not None:  # the way back through `redistribute` adds the processes' gradients up
        return value.redistribute(placements=value.placements).to_local(grad_placements=[gradient])
    return value.to_local(grad_placements=value.placements)


@functools.cache
def _viewing(kind: type) -> type:
    mixin = _LocalRecurrentViews if issubclass(kind, nn.RNNBase) else _LocalViews
    made = type(kind.__name__, (mixin, kind), {"__module__": kind.__module__, "__doc__": kind.__doc__})
    made.__qualname__ = kind.__qualname__
    return made


def read_locally(
    module: nn.Module, mesh: DeviceMesh, placements: dict[str, Placement], *, partial: Sequence[str] = ()
) -> None:
    """Let the forward pass of `module` read some of its own parameters, DTensors on `mesh`, as local tensors.

    Args:
        module: the owner.
        mesh: of one dimension.
        placements: how each of the parameters is placed.
        partial: those of the copied parameters whose processes each see a part of the activations, so that their
            gradients are added up.
    """
    if not isinstance(module, _LocalViews):
        object.__setattr__(module, _VIEWS, {})
        module.__class__ = _viewing(type(module))  # type: ignore[arg-type]  # a class is hashable
    views = module.__dict__[_VIEWS]
    for name, placement in placements.items():
        views[name] = (placement, Partial() if name in partial and isinstance(placement, Replicate) else None)


def locally_read(module: nn.Module) -> frozenset[str]:
    """Return the names of the module's own parameters that its forward pass reads as local tensors."""
    return frozenset(module.__dict__.get(_VIEWS, ()))


Reader = Callable[..., Any]


def within_computing(step: Reader) -> Reader:
    """Return `step` as a computing block whose DTensor results are made whole, as a loss or a prediction has to be."""

    @functools.wraps(step)
    def run(*arguments: Any) -> Any:
        with computing():
            return whole_values(step(*arguments))

    return run


def whole_values(output: Any) -> Any:
    """Return a step's result with every DTensor in it made a plain tensor."""
    if isinstance(output, torch.Tensor):
        return output.full_tensor() if isinstance(output, DTensor) else output
    if isinstance(output, dict):
        return {key: whole_values(value) for key, value in output.items()}
    if isinstance(output, list | tuple) and type(output) in (list, tuple):
        return type(output)(whole_values(value) for value in output)
    return output
