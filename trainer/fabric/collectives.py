"""Exchanging tensors between the processes of a Fabric."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from trainer.data.transfer import map_tensors
from trainer.errors import MisconfigurationException, four_parts

_OPS = {"mean": dist.ReduceOp.SUM, "avg": dist.ReduceOp.SUM, "sum": dist.ReduceOp.SUM, "min": dist.ReduceOp.MIN,
        "max": dist.ReduceOp.MAX}  # fmt: skip

apply_to_tensors = map_tensors


def to_tensors(data: Any, device: torch.device) -> Any:
    """Return `data` on `device` with every number in it made a tensor."""
    if isinstance(data, bool | int | float):
        return torch.tensor(data, device=device)
    if isinstance(data, Tensor):
        return data.to(device)
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(to_tensors(part, device) for part in data))
    if isinstance(data, list | tuple):
        return type(data)(to_tensors(part, device) for part in data)
    if isinstance(data, Mapping):
        return {key: to_tensors(part, device) for key, part in data.items()}
    return data


def gather_tensor(tensor: Tensor, group: Any, sync_grads: bool) -> Tensor:
    """Return (processes, *shape): every process's tensor, in order of rank."""
    tensor = tensor.contiguous()
    if sync_grads:
        from torch.distributed.nn import functional  # late: it imports much

        parts = functional.all_gather(tensor, group=group or dist.group.WORLD)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return torch.stack(list(parts))
    gathered = [torch.empty_like(tensor) for _ in range(dist.get_world_size(group))]
    dist.all_gather(gathered, tensor.detach(), group=group)
    return torch.stack(gathered)


def reduce_in_place(tensor: Tensor, group: Any, op: Any) -> Tensor:
    """Return `tensor` after it was combined over the processes, in place.

    Raises:
        MisconfigurationException: there is no such operation.
    """
    function: Callable[..., Any] = dist.all_reduce
    if isinstance(op, str):
        name = op.lower()
        if name not in _OPS:
            raise MisconfigurationException(
                four_parts("`reduce_op` is unknown.", got=op, expected=f"one of {sorted(_OPS)}", remedy="Correct it.")
            )
        is_mean = name in ("mean", "avg")
        if is_mean and not tensor.is_floating_point() and not tensor.is_complex():
            # The mean of whole numbers is none; Lightning gives a float here too.
            tensor = tensor.float()
        function(tensor, op=_OPS[name], group=group)
        return tensor.div_(dist.get_world_size(group)) if is_mean else tensor
    function(tensor, op=dist.ReduceOp.SUM if op is None else op, group=group)
    return tensor
