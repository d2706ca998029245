"""Clipping gradients by norm or by value."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.optim import Optimizer

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
        torch.nn.utils.clip_grad_norm_(_parameters(optimizer), value)


def _parameters(optimizer: Optimizer) -> Iterator[torch.Tensor]:
    return (parameter for group in optimizer.param_groups for parameter in group["params"])
