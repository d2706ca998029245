"""How the processes of one run work together."""

from typing import TYPE_CHECKING

from trainer.strategies.ddp import DDP
from trainer.strategies.ddp import DDP as DDPStrategy
from trainer.strategies.selection import StrategyRegistry, choose_strategy
from trainer.strategies.single_device import SingleDevice
from trainer.strategies.single_device import SingleDevice as SingleDeviceStrategy
from trainer.strategies.strategy import Strategy

if TYPE_CHECKING:
    from trainer.strategies.fsdp import FSDP
    from trainer.strategies.fsdp import FSDP as FSDPStrategy
    from trainer.strategies.model_parallel import LocalParameters, ModelParallelStrategy
    from trainer.strategies.pipeline import PipelineStrategy

__all__ = [
    "DDP",
    "FSDP",
    "DDPStrategy",
    "FSDPStrategy",
    "LocalParameters",
    "ModelParallelStrategy",
    "PipelineStrategy",
    "SingleDevice",
    "SingleDeviceStrategy",
    "Strategy",
    "StrategyRegistry",
    "choose_strategy",
]


ABSENT = {
    "DeepSpeedStrategy": "DeepSpeed is not driven by this trainer; use FSDPStrategy.",
    "XLAStrategy": "TPUs need torch_xla, which this trainer does not drive.",
}
"""Strategies of Lightning that are not here, and what to use instead."""


def __getattr__(name: str) -> object:
    if name in ABSENT:
        raise ImportError(f"trainer.strategies has no {name}: {ABSENT[name]}")
    if name in ("FSDP", "FSDPStrategy"):
        from trainer.strategies.fsdp import FSDP  # late: it takes a while to import

        return FSDP
    if name in ("LocalParameters", "ModelParallelStrategy"):
        from trainer.strategies import model_parallel  # late: as above

        return getattr(model_parallel, name)
    if name == "PipelineStrategy":
        from trainer.strategies.pipeline import PipelineStrategy  # late: as above

        return PipelineStrategy
    raise AttributeError(f"module 'trainer.strategies' has no attribute {name!r}; it has {__all__}")
