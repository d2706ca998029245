"""Where metrics are kept."""

from trainer.loggers.csv_logs import CSVLogger
from trainer.loggers.logger import DummyLogger, Logger, rank_zero_experiment
from trainer.loggers.missing import ABSENT
from trainer.loggers.mlflow import MLFlowLogger
from trainer.loggers.tensorboard import TensorBoardLogger
from trainer.loggers.wandb import WandbLogger

__all__ = [
    "CSVLogger",
    "DummyLogger",
    "Logger",
    "MLFlowLogger",
    "TensorBoardLogger",
    "WandbLogger",
    "rank_zero_experiment",
]


def __getattr__(name: str) -> object:
    if name in ABSENT:
        raise ImportError(f"trainer.loggers has no {name}: {ABSENT[name]}")
    raise AttributeError(f"module 'trainer.loggers' has no attribute {name!r}; it has {__all__}")
