"""Moving batches, under the path that Lightning gives it."""

from trainer.data.transfer import move_to_device as move_data_to_device

__all__ = ["move_data_to_device"]
