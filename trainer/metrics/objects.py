"""States of metric objects: what they have accumulated, as tensors that a checkpoint holds.

An object is taken for one of torchmetrics where it says so by `_defaults`, the names and first values of its states;
others are saved where they have `state_dict` and `load_state_dict`. torchmetrics is not imported.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from trainer.types import PlainState, Stateful


def named_metrics(module: nn.Module) -> dict[str, Any]:
    """Return the metric objects in `module` that can be saved, by their place in it."""
    found: dict[str, Any] = {
        name: part
        for name, part in module.named_modules()
        if isinstance(getattr(part, "_defaults", None), dict) and callable(getattr(part, "compute", None))
    }
    for name, value in vars(module).items():
        is_metric = callable(getattr(value, "compute", None)) and callable(getattr(value, "reset", None))
        if is_metric and not isinstance(value, nn.Module) and isinstance(value, Stateful):
            found[name] = value
    return found


def capture_metrics(module: nn.Module, leave_out: set[int]) -> PlainState:
    """Return the states of the metric objects in `module`, but for those whose `id` is in `leave_out`."""
    for part in module.modules():
        if hasattr(part, "compute_groups") and callable(getattr(part, "items", None)):
            collection: Any = part
            collection.items(keep_base=True, copy_state=False)  # metrics of one group get their common state
    return {
        name: _capture(metric)
        for name, metric in named_metrics(module).items()
        if id(metric) not in leave_out and not (isinstance(metric, nn.Module) and not metric._defaults)
    }


def _capture(metric: Any) -> PlainState:
    if not isinstance(metric, nn.Module):
        return {"own": metric.state_dict()}
    states = {name: getattr(metric, name) for name in metric._defaults}  # type: ignore[union-attr]  # a dict, see above
    return {"states": states, "updates": int(getattr(metric, "_update_count", 0))}


def restore_metrics(module: nn.Module, saved: PlainState) -> None:
    """Give the metric objects in `module` the states that `capture_metrics` returned."""
    metrics = named_metrics(module)
    for name, state in saved.items():
        metric = metrics.get(name)
        if metric is None:
            continue
        if "own" in state:
            metric.load_state_dict(state["own"])
            continue
        for part, value in state["states"].items():
            setattr(metric, part, _on_device(value, metric))
        metric._update_count = state["updates"]
        metric._computed = None


def _on_device(value: Any, metric: Any) -> Any:
    device = getattr(metric, "device", torch.device("cpu"))
    if isinstance(value, Tensor):
        return value.to(device)
    return [_on_device(part, metric) for part in value] if isinstance(value, list) else value
