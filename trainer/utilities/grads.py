"""Looking at gradients."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainer.data.transfer import whole_tensor


def grad_norm(module: nn.Module, norm_type: float | int | str, group_separator: str = "/") -> dict[str, Tensor | float]:
    """Return the norm of each parameter's gradient, and of all of them together.

    Args:
        module: whose gradients; parameters without one are left out.
        norm_type: the order of the norm, above zero; "inf" for the largest element.
        group_separator: between "grad_2.0_norm" and the parameter's name.

    Raises:
        ValueError: `norm_type` is not above zero.
    """
    order = float(norm_type)
    if order <= 0:
        raise ValueError(f"`norm_type` makes no sense. Got {norm_type!r}; expected a number above zero. Correct it.")
    prefix = f"grad_{order}_norm"
    norms: dict[str, Tensor | float] = {
        f"{prefix}{group_separator}{name}": whole_tensor(torch.linalg.vector_norm(parameter.grad.detach(), order))
        for name, parameter in module.named_parameters()
        if parameter.grad is not None
    }
    if norms:
        stacked = torch.stack([torch.as_tensor(norm) for norm in norms.values()])
        norms[f"{prefix}_total"] = torch.linalg.vector_norm(stacked, order)
    return norms
