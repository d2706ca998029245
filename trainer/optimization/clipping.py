"""Clipping gradients by norm or by value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from trainer.data.transfer import whole_tensor
from trainer.errors import MisconfigurationException, four_parts

ALGORITHMS = ("norm", "value")


def check_clipping(value: float | None, algorithm: str | None) -> None:
    """Refuse clipping arguments that mean nothing.

    Raises:
        MisconfigurationException: the value is negative or the algorithm unknown.
    """
    if value is not None and (isinstance(value, bool) or value < 0):
        raise MisconfigurationException(
            four_parts(
                "`gradient_clip_val` makes no sense.",
                got=value,
                expected="a number of at least 0, or None",
                remedy="Correct it.",
            )
        )
    if algorithm is not None and algorithm not in ALGORITHMS:
        raise MisconfigurationException(
            four_parts(
                "`gradient_clip_algorithm` is unknown.",
                got=algorithm,
                expected=f"one of {ALGORITHMS}",
                remedy="Correct it.",
            )
        )


def clip_gradients(optimizer: Optimizer, value: float, algorithm: str) -> None:
    """Clip the gradients of the optimizer's parameters in place, to a total norm or each element to ±`value`.

    Raises:
        MisconfigurationException: the value is negative or the algorithm unknown.
    """
    check_clipping(value, algorithm)
    if value == 0:
        return
    if algorithm == "value":
        torch.nn.utils.clip_grad_value_(_parameters(optimizer), value)
    else:
        clip_by_norm(_parameters(optimizer), value)


def clip_by_norm(
    parameters: Iterable[Tensor], largest: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """Scale gradients in place to a total norm of at most `largest`; return the norm before, a plain tensor.

    Gradients that are split over processes in different ways, as DTensors, have one norm together.
    """
    owners = [parameter for parameter in parameters if parameter.grad is not None]
    groups: dict[Any, list[Tensor]] = {}
    for owner in owners:
        groups.setdefault(getattr(owner.grad, "device_mesh", None), []).append(owner)
    if len(groups) < 2:
        return whole_tensor(torch.nn.utils.clip_grad_norm_(owners, largest, norm_type, error_if_nonfinite))
    norms = [
        whole_tensor(torch.nn.utils.get_total_norm([o.grad for o in group if o.grad is not None], norm_type))
        for group in groups.values()
    ]
    total = torch.nn.utils.get_total_norm(norms, norm_type, error_if_nonfinite)
    for group in groups.values():
        torch.nn.utils.clip_grads_with_norm_(group, largest, total)
    return total


def _parameters(optimizer: Optimizer) -> Iterator[torch.Tensor]:
    return (parameter for group in optimizer.param_groups for parameter in group["params"])
