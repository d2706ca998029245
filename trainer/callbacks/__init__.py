"""Callbacks that come with the trainer."""

from trainer.callback import Callback
from trainer.callbacks.early_stopping import EarlyStopping
from trainer.callbacks.learning_rate_monitor import LearningRateMonitor
from trainer.callbacks.model_checkpoint import ModelCheckpoint
from trainer.callbacks.model_summary import ModelSummary
from trainer.callbacks.progress import ProgressBar, TQDMProgressBar
from trainer.callbacks.timer import Timer

__all__ = [
    "Callback",
    "EarlyStopping",
    "LearningRateMonitor",
    "ModelCheckpoint",
    "ModelSummary",
    "ProgressBar",
    "TQDMProgressBar",
    "Timer",
]
