"""Optimizers and schedulers of a command line: the types that models ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

__all__ = [
    "LRSchedulerCallable",
    "LRSchedulerType",
    "LRSchedulerTypeTuple",
    "LRSchedulerTypeUnion",
    "OptimizerCallable",
    "ReduceLROnPlateau",
]


class ReduceLROnPlateau(torch.optim.lr_scheduler.ReduceLROnPlateau):
    """torch's scheduler, which also knows the metric that it watches.

    Args:
        optimizer: whose learning rate is reduced.
        monitor: name of the metric, as it is logged.
        args: of torch's scheduler.
        kwargs: of torch's scheduler.
    """

    def __init__(self, optimizer: Optimizer, monitor: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(optimizer, *args, **kwargs)
        self.monitor = monitor


LRSchedulerTypeTuple = (LRScheduler, ReduceLROnPlateau)
LRSchedulerTypeUnion = LRScheduler | ReduceLROnPlateau
LRSchedulerType = type[LRScheduler] | type[ReduceLROnPlateau]

# What a model takes that makes its own optimizers: their arguments are set on the command line.
OptimizerCallable = Callable[[Iterable], Optimizer]  # type: ignore[type-arg]  # torch's forms of parameters are many
LRSchedulerCallable = Callable[[Optimizer], LRScheduler | ReduceLROnPlateau]
