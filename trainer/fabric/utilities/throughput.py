"""Throughput, under the path that Lightning gives it."""

from trainer.utilities.throughput import Throughput, get_available_flops, measure_flops

__all__ = ["Throughput", "get_available_flops", "measure_flops"]
