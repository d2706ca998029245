"""A checkpoint's parts from all stages put together, and a whole state given to one stage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from trainer.strategies.pipeline.layers import Layers, is_elsewhere
from trainer.types import PlainState

_WEIGHTS = ("state_dict", "current_model_state")


def own_parts(state: PlainState, layers: Layers, mine: Iterable[int], *, is_last: bool) -> PlainState:
    """Return what a stage gives to the whole: weights of its layers, their gradients and optimizer states.

    What belongs to no layer comes from the last stage, where the steps run to their end.
    """
    names = {layers.names[index] for index in mine}

    def is_mine(key: str) -> bool:
        layer = layers.holds(key)
        return layer in names if layer is not None else is_last

    found: PlainState = {}
    for section in (*_WEIGHTS, "gradients"):
        if section in state:
            found[section] = {k: _on_cpu(v) for k, v in state[section].items() if is_mine(k) and not _is_gone(v)}
    if "optimizer_states" in state:
        found["optimizer_states"] = [
            {index: _on_cpu(held) for index, held in optimizer["state"].items()}
            for optimizer in state["optimizer_states"]
        ]
    return found


def put_together(state: PlainState, parts: Iterable[PlainState]) -> PlainState:
    """Return rank zero's state with the parts of the other stages, in the order that one process would have."""
    whole = dict(state)
    for part in parts:
        for section in (*_WEIGHTS, "gradients"):
            if section in part:
                whole[section] = {**whole.get(section, {}), **part[section]}
        if "optimizer_states" in part:
            whole["optimizer_states"] = [
                {**own, "state": {**own["state"], **other}}
                for own, other in zip(whole["optimizer_states"], part["optimizer_states"], strict=True)
            ]
    if "optimizer_states" in whole:
        whole["optimizer_states"] = [
            {**one, "state": dict(sorted(one["state"].items()))} for one in whole["optimizer_states"]
        ]
    return whole


def _is_gone(value: Any) -> bool:
    return isinstance(value, Tensor) and is_elsewhere(value)


def _on_cpu(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().cpu()
    if isinstance(value, Mapping):
        return {key: _on_cpu(part) for key, part in value.items()}
    return value


def fitting_weights(module: nn.Module, state: PlainState) -> PlainState:
    """Return a whole state dict with nothing in the places whose tensors are on other processes."""
    own = module.state_dict()

    def fit(key: str, value: Any) -> Any:
        mine = own.get(key)
        if isinstance(value, Tensor) and isinstance(mine, Tensor) and is_elsewhere(mine):
            return mine if mine.shape[1:] == value.shape[1:] else value
        return value

    return {key: fit(key, value) for key, value in state.items()}


def fitting_optimizer_state(optimizer: Optimizer, state: PlainState) -> PlainState:
    """Return a whole optimizer state without what belongs to parameters on other processes."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    indices = [index for group in state["param_groups"] for index in group["params"]]
    if len(parameters) != len(indices):
        return state  # the optimizer itself refuses it, with its own words
    gone = {index for index, parameter in zip(indices, parameters, strict=True) if is_elsewhere(parameter)}
    return {**state, "state": {index: held for index, held in state["state"].items() if index not in gone}}
