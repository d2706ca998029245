"""Choosing a strategy from the trainer's `strategy` argument."""

from __future__ import annotations

from trainer.arguments import refused_strategy
from trainer.environments import Environment
from trainer.errors import MisconfigurationException, four_parts
from trainer.strategies.ddp import DDP
from trainer.strategies.single_device import SingleDevice
from trainer.strategies.strategy import Strategy

_DDP_NAMES = {
    "ddp": False,
    "ddp_find_unused_parameters_false": False,
    "ddp_find_unused_parameters_true": True,
}
_FSDP_NAMES = {"fsdp": False, "fsdp_cpu_offload": True}


def choose_strategy(strategy: str | Strategy, *, processes: int, environment: Environment) -> Strategy:
    """Return the strategy for a run of `processes` processes in all.

    Raises:
        MisconfigurationException: the name is unknown or refused, or one device is to hold several processes.
    """
    if isinstance(strategy, Strategy):
        return strategy
    several = processes > 1 or environment.world_size > 1
    if strategy == "auto":
        return DDP() if several else SingleDevice()
    if strategy == "single_device" and not several:
        return SingleDevice()
    if strategy in _DDP_NAMES:
        return DDP(find_unused_parameters=_DDP_NAMES[strategy])
    if strategy in _FSDP_NAMES:
        from trainer.strategies.fsdp import FSDP  # late: it takes a while to import

        return FSDP(cpu_offload=_FSDP_NAMES[strategy])
    known = sorted([*_DDP_NAMES, *_FSDP_NAMES])
    reason = refused_strategy(strategy) if isinstance(strategy, str) else None
    raise MisconfigurationException(
        four_parts(
            "`strategy` is not supported.",
            got=strategy,
            expected=f"'auto', 'single_device' (one device), one of {known}, or a Strategy",
            remedy=reason or "Correct the name.",
        )
    )
