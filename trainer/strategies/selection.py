"""Choosing a strategy from the trainer's `strategy` argument."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from trainer.arguments import refused_strategy
from trainer.configuration.registry import Registry
from trainer.errors import MisconfigurationException, four_parts
from trainer.launching.environments import Environment
from trainer.strategies.ddp import DDP
from trainer.strategies.single_device import SingleDevice
from trainer.strategies.strategy import Strategy

if TYPE_CHECKING:
    from trainer.launching.spawning import StartMethod

_STARTS: dict[str, StartMethod] = {
    "ddp": "popen",
    "ddp_spawn": "spawn",
    "ddp_fork": "fork",
    "ddp_notebook": "fork",
}
_DDP_NAMES: dict[str, tuple[StartMethod, bool]] = {
    name + ending: (method, finds)
    for name, method in _STARTS.items()
    for ending, finds in {
        "": False,
        "_find_unused_parameters_false": False,
        "_find_unused_parameters_true": True,
    }.items()
}


class _Strategies(Registry[Strategy]):
    def available_strategies(self) -> list[str]:
        """Return the names."""
        return list(self)


StrategyRegistry = _Strategies("strategy", taken=ValueError)
"""The strategies that the trainer's argument can name; users add theirs."""

for _name, (_method, _finds) in _DDP_NAMES.items():
    StrategyRegistry.register(_name, DDP, find_unused_parameters=_finds, start_method=_method)


def _sharded(**options: bool) -> Strategy:
    from trainer.strategies.fsdp import FSDP  # late: it takes a while to import

    return FSDP(cpu_offload=options.get("cpu_offload", False))


def _model_parallel() -> Strategy:
    from trainer.strategies.model_parallel import ModelParallelStrategy  # late: as above

    return ModelParallelStrategy()


def _piped() -> Strategy:
    from trainer.strategies.pipeline import PipelineStrategy  # late: as above

    return PipelineStrategy()


StrategyRegistry.register("model_parallel", _model_parallel)
StrategyRegistry.register("pipeline", _piped)
StrategyRegistry.register("fsdp", _sharded)
StrategyRegistry.register("fsdp_cpu_offload", _sharded, cpu_offload=True)


def choose_strategy(strategy: str | Strategy, *, processes: int, environment: Environment) -> Strategy:
    """Return the strategy for a run of `processes` processes in all.

    Raises:
        MisconfigurationException: the name is unknown or refused, or one device is to hold several processes.
    """
    if isinstance(strategy, Strategy):
        return strategy
    several = processes > 1 or environment.world_size > 1
    if strategy == "auto":
        # A notebook is no script that could be run again.
        starts: StartMethod = "fork" if hasattr(sys, "ps1") and not environment.created_externally else "popen"
        return DDP(start_method=starts) if several else SingleDevice()
    if strategy == "single_device" and not several:
        return SingleDevice()
    if isinstance(strategy, str) and strategy in StrategyRegistry:
        made: Strategy = StrategyRegistry.get(strategy)
        return made
    reason = refused_strategy(strategy) if isinstance(strategy, str) else None
    raise MisconfigurationException(
        four_parts(
            "`strategy` is not supported.",
            got=strategy,
            expected=f"'auto', 'single_device' (one device), one of {sorted(StrategyRegistry)}, or a Strategy",
            remedy=reason or "Correct the name.",
        )
    )
