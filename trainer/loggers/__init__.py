"""Where metrics are kept."""

from trainer.loggers.csv_logger import CSVLogger
from trainer.loggers.logger import Logger

__all__ = ["CSVLogger", "Logger"]
