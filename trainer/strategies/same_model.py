"""Whether all processes were given the same model: asked before anything is exchanged that needs it."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from torch import nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from trainer.errors import DistributedError, four_parts

if TYPE_CHECKING:
    from trainer.strategies.strategy import Strategy

_SHOWN = 5


def check_same_model(strategy: Strategy, module: nn.Module) -> None:
    """Refuse models that differ between processes, in the names, shapes or types of parameters and buffers.

    Raises:
        DistributedError: on every process, naming what differs and where.
    """
    mine = describe(module)
    text = json.dumps(mine)
    half = int.from_bytes(hashlib.sha256(text.encode()).digest()[:7])
    largest, smallest = strategy.agree([half, -half])
    if largest == -smallest:
        return
    every = [json.loads(payload) for payload in strategy.gather_bytes(text.encode())]
    raise DistributedError(
        four_parts(
            f"The processes have different models of {type(module).__name__}.",
            got="; ".join(differences(every)),
            expected="parameters and buffers of the same names, shapes and types, in the same order, everywhere",
            remedy="Build the model from the same arguments and code on every process.",
        )
    )


def describe(module: nn.Module) -> dict[str, str]:
    """Return what each parameter and buffer is, by name."""
    found = {}
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        is_empty = isinstance(tensor, UninitializedParameter | UninitializedBuffer)
        kind = "not made yet" if is_empty else f"{str(tensor.dtype).removeprefix('torch.')}{list(tensor.shape)}"
        is_frozen = isinstance(tensor, nn.Parameter) and not tensor.requires_grad
        found[name] = f"{kind} (frozen)" if is_frozen else kind
    return found


def differences(every: list[dict[str, str]]) -> list[str]:
    """Return one sentence for each tensor that differs between the processes, the first few of them."""
    names = list(dict.fromkeys(name for one in every for name in one))
    found = []
    for name in names:
        kinds = {rank: one.get(name, "missing") for rank, one in enumerate(every)}
        if len(set(kinds.values())) == 1:
            continue
        ranks: dict[str, list[int]] = {}
        for rank, kind in kinds.items():
            ranks.setdefault(kind, []).append(rank)
        said = ", ".join(f"{kind} on rank {', '.join(map(str, where))}" for kind, where in ranks.items())
        found.append(f"{name} is {said}")
    if not found:
        return ["the same tensors in different orders"]
    more = len(found) - _SHOWN
    return [*found[:_SHOWN], *([f"and {more} more"] if more > 0 else [])]
