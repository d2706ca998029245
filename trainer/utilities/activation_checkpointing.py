"""Saving memory: activations of chosen layers are computed again in the backward pass."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import torch.utils.checkpoint
from torch import nn

from trainer.errors import MisconfigurationException, four_parts


def checkpoint_activations(
    module: nn.Module, layers: type[nn.Module] | Iterable[type[nn.Module]] | Callable[[nn.Module], bool]
) -> int:
    """Let the chosen parts of `module` keep only their inputs in training; return how many parts these are.

    The numbers stay the same, dropout included; call it once, when the model is built (in `__init__` or
    `configure_model`). A chosen part inside another chosen part is left to the outer one. Names in checkpoints do not
    change.

    Args:
        module: the model.
        layers: the classes of the parts, or a function that says for each part whether it is chosen.

    Raises:
        MisconfigurationException: nothing is chosen.
    """
    if isinstance(layers, type):
        layers = (layers,)
    if isinstance(layers, Iterable):
        classes = tuple(layers)
        chosen = [name for name, part in module.named_modules() if name and isinstance(part, classes)]
    else:
        chosen = [name for name, part in module.named_modules() if name and layers(part)]
    outermost = [name for name in chosen if not any(name.startswith(f"{other}.") for other in chosen)]
    if not outermost:
        raise MisconfigurationException(
            four_parts(
                "`checkpoint_activations` found nothing to checkpoint.",
                got=sorted({type(part).__name__ for part in module.modules()}),
                expected=f"a part chosen by {layers}",
                remedy="Name a class that the model contains.",
            )
        )
    for name in outermost:
        part = module.get_submodule(name)
        forward = part.forward

        @functools.wraps(forward)
        def again(*args: Any, _part: nn.Module = part, _forward: Callable[..., Any] = forward, **kwargs: Any) -> Any:
            if not (_part.training and torch.is_grad_enabled()):
                return _forward(*args, **kwargs)
            return torch.utils.checkpoint.checkpoint(_forward, *args, use_reentrant=False, **kwargs)

        part.forward = again
    return len(outermost)
