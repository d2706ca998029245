"""The strategies that a Fabric script takes."""

from trainer.strategies import DDPStrategy, SingleDeviceStrategy, Strategy

__all__ = ["DDPStrategy", "SingleDeviceStrategy", "Strategy"]
