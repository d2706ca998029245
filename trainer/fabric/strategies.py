"""The strategies that a Fabric script takes."""

from trainer.strategies import DDPStrategy, FSDPStrategy, SingleDeviceStrategy, Strategy, StrategyRegistry

__all__ = ["DDPStrategy", "FSDPStrategy", "SingleDeviceStrategy", "Strategy", "StrategyRegistry"]
