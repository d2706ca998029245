"""Callbacks that come with the trainer; each is imported when its name is used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainer.callback import Callback
    from trainer.callbacks.batch_size_finder import BatchSizeFinder
    from trainer.callbacks.checkpoint import Checkpoint
    from trainer.callbacks.device_stats_monitor import DeviceStatsMonitor
    from trainer.callbacks.early_stopping import EarlyStopping, EarlyStoppingReason
    from trainer.callbacks.finetuning import BackboneFinetuning, BaseFinetuning
    from trainer.callbacks.gradient_accumulation_scheduler import GradientAccumulationScheduler
    from trainer.callbacks.gradient_norm import GradientNorm
    from trainer.callbacks.lambda_function import LambdaCallback
    from trainer.callbacks.lr_finder import LearningRateFinder
    from trainer.callbacks.lr_monitor import LearningRateMonitor
    from trainer.callbacks.model_checkpoint import ModelCheckpoint
    from trainer.callbacks.model_summary import ModelSummary
    from trainer.callbacks.on_exception_checkpoint import OnExceptionCheckpoint
    from trainer.callbacks.prediction_writer import BasePredictionWriter
    from trainer.callbacks.progress import ProgressBar, TQDMProgressBar
    from trainer.callbacks.progress.rich_progress import RichProgressBar
    from trainer.callbacks.rich_model_summary import RichModelSummary
    from trainer.callbacks.stochastic_weight_avg import StochasticWeightAveraging
    from trainer.callbacks.throughput_monitor import ThroughputMonitor
    from trainer.callbacks.timer import Timer
    from trainer.callbacks.weight_averaging import EMAWeightAveraging, WeightAveraging

_PLACES = {
    "BackboneFinetuning": "trainer.callbacks.finetuning",
    "BaseFinetuning": "trainer.callbacks.finetuning",
    "BatchSizeFinder": "trainer.callbacks.batch_size_finder",
    "BasePredictionWriter": "trainer.callbacks.prediction_writer",
    "Callback": "trainer.callback",
    "Checkpoint": "trainer.callbacks.checkpoint",
    "DeviceStatsMonitor": "trainer.callbacks.device_stats_monitor",
    "EMAWeightAveraging": "trainer.callbacks.weight_averaging",
    "EarlyStopping": "trainer.callbacks.early_stopping",
    "EarlyStoppingReason": "trainer.callbacks.early_stopping",
    "GradientAccumulationScheduler": "trainer.callbacks.gradient_accumulation_scheduler",
    "GradientNorm": "trainer.callbacks.gradient_norm",
    "LambdaCallback": "trainer.callbacks.lambda_function",
    "LearningRateFinder": "trainer.callbacks.lr_finder",
    "LearningRateMonitor": "trainer.callbacks.lr_monitor",
    "ModelCheckpoint": "trainer.callbacks.model_checkpoint",
    "ModelSummary": "trainer.callbacks.model_summary",
    "OnExceptionCheckpoint": "trainer.callbacks.on_exception_checkpoint",
    "ProgressBar": "trainer.callbacks.progress",
    "RichModelSummary": "trainer.callbacks.rich_model_summary",
    "RichProgressBar": "trainer.callbacks.progress.rich_progress",
    "StochasticWeightAveraging": "trainer.callbacks.stochastic_weight_avg",
    "TQDMProgressBar": "trainer.callbacks.progress",
    "ThroughputMonitor": "trainer.callbacks.throughput_monitor",
    "Timer": "trainer.callbacks.timer",
    "WeightAveraging": "trainer.callbacks.weight_averaging",
}

__all__ = [
    "BackboneFinetuning",
    "BaseFinetuning",
    "BasePredictionWriter",
    "BatchSizeFinder",
    "Callback",
    "Checkpoint",
    "DeviceStatsMonitor",
    "EMAWeightAveraging",
    "EarlyStopping",
    "EarlyStoppingReason",
    "GradientAccumulationScheduler",
    "GradientNorm",
    "LambdaCallback",
    "LearningRateFinder",
    "LearningRateMonitor",
    "ModelCheckpoint",
    "ModelSummary",
    "OnExceptionCheckpoint",
    "ProgressBar",
    "RichModelSummary",
    "RichProgressBar",
    "StochasticWeightAveraging",
    "TQDMProgressBar",
    "ThroughputMonitor",
    "Timer",
    "WeightAveraging",
]


ABSENT = {
    "ModelPruning": "call torch.nn.utils.prune from a callback of your own.",
    "SpikeDetection": "watch `outputs` in a callback's `on_train_batch_end`.",
}
"""Callbacks of Lightning that are not here, and what to use instead."""


def __getattr__(name: str) -> object:
    if name in ABSENT:
        raise ImportError(f"trainer.callbacks has no {name}: {ABSENT[name]}")
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'trainer.callbacks' has no attribute {name!r}; it has {__all__}")


def __dir__() -> list[str]:
    return sorted(__all__)
