"""Choosing a strategy from the trainer's `strategy` argument."""

from __future__ import annotations

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
_REFUSED = {
    "ddp_spawn": "Processes are started again from the script; pass strategy='ddp'.",
    "ddp_fork": "Forking after torch has started threads deadlocks; pass strategy='ddp'.",
    "ddp_notebook": "Forking after torch has started threads deadlocks; write a script and pass strategy='ddp'.",
    "fsdp": "Sharded parameters are not in this version; pass strategy='ddp'.",
    "deepspeed": "DeepSpeed is not driven by this trainer; pass strategy='ddp'.",
    "dp": "Threads over devices were never faster than processes; pass strategy='ddp'.",
}


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
    reason = next((text for name, text in _REFUSED.items() if strategy.startswith(name)), "Correct the name.")
    raise MisconfigurationException(
        four_parts(
            "`strategy` is not supported.",
            got=strategy,
            expected=f"'auto', 'single_device' (one device), one of {sorted(_DDP_NAMES)}, or a Strategy",
            remedy=reason,
        )
    )
