"""Callbacks that come with the trainer."""

from trainer.callback import Callback
from trainer.callbacks.batch_size_finder import BatchSizeFinder
from trainer.callbacks.early_stopping import EarlyStopping
from trainer.callbacks.learning_rate_monitor import LearningRateMonitor
from trainer.callbacks.lr_finder import LearningRateFinder
from trainer.callbacks.model_checkpoint import ModelCheckpoint
from trainer.callbacks.model_summary import ModelSummary
from trainer.callbacks.progress import ProgressBar, TQDMProgressBar
from trainer.callbacks.timer import Timer

__all__ = [
    "BatchSizeFinder",
    "Callback",
    "EarlyStopping",
    "LearningRateFinder",
    "LearningRateMonitor",
    "ModelCheckpoint",
    "ModelSummary",
    "ProgressBar",
    "TQDMProgressBar",
    "Timer",
]
