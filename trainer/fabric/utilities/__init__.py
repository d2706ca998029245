"""What Fabric scripts import from its utilities."""

from trainer.data.transfer import move_to_device as move_data_to_device
from trainer.model.hyperparameters import AttributeDict
from trainer.utilities.rank_zero import rank_zero_deprecation, rank_zero_info, rank_zero_only, rank_zero_warn
from trainer.utilities.throughput import Throughput, measure_flops

__all__ = [
    "AttributeDict",
    "Throughput",
    "measure_flops",
    "move_data_to_device",
    "rank_zero_deprecation",
    "rank_zero_info",
    "rank_zero_only",
    "rank_zero_warn",
]
