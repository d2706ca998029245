"""Counting the arithmetic of a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


def measure_flops(
    model: nn.Module,
    forward_fn: Callable[[], Any],
    loss_fn: Callable[[Any], Tensor] | None = None,
    display: bool = True,
) -> int:
    """Return the floating point operations of one forward pass, with `loss_fn` of the backward pass too.

    Args:
        model: named for Lightning's sake; what runs is counted.
        forward_fn: runs the forward pass. On the meta device nothing is computed.
        loss_fn: gets what `forward_fn` returned, and returns the loss to run backward from.
        display: print torch's table of the operations.
    """
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=display) as counter:
        output = forward_fn()
        if loss_fn is not None:
            loss_fn(output).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    total: int = counter.get_total_flops()
    return total
