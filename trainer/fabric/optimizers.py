"""Optimizers that were made before their model was split, and go on with the parameters that it has now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import nn
from torch.optim import Optimizer

from trainer.errors import MisconfigurationException, four_parts


def follow_parameters(
    optimizers: Iterable[Optimizer], before: Sequence[nn.Parameter], after: Sequence[nn.Parameter]
) -> None:
    """Put the parameters of `after` into the optimizers in the place of those of `before`, one by one.

    Raises:
        MisconfigurationException: an optimizer has stepped already, so that its state is of another form.
    """
    replaced = {id(old): new for old, new in zip(before, after, strict=True) if old is not new}
    if not replaced:
        return
    for optimizer in optimizers:
        if any(id(parameter) in replaced for parameter in optimizer.state):
            raise MisconfigurationException(
                four_parts("The optimizer has a state for parameters that are split now.",
                           got=type(optimizer).__name__, expected="an optimizer that has not stepped",
                           remedy="Set the model up first, then make the optimizer, then load its state.")
            )  # fmt: skip
        for group in optimizer.param_groups:
            group["params"] = [replaced.get(id(parameter), parameter) for parameter in group["params"]]
