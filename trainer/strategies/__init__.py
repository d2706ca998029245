"""How the processes of one run work together."""

from trainer.strategies.ddp import DDP
from trainer.strategies.ddp import DDP as DDPStrategy
from trainer.strategies.selection import StrategyRegistry, choose_strategy
from trainer.strategies.single_device import SingleDevice
from trainer.strategies.single_device import SingleDevice as SingleDeviceStrategy
from trainer.strategies.strategy import Strategy

__all__ = [
    "DDP",
    "DDPStrategy",
    "SingleDevice",
    "SingleDeviceStrategy",
    "Strategy",
    "StrategyRegistry",
    "choose_strategy",
]
