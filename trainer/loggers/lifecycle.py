"""What a trainer does with all its loggers at the beginning and the end of a run."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from trainer.errors import LoggingError
from trainer.loggers.logger import Logger


def begin_loggers(loggers: Sequence[Logger]) -> None:
    """Let every logger begin its run now, so that a wrong address is known before training and versions are fixed."""
    for logger in loggers:
        _ = logger.experiment


def describe_model(loggers: Sequence[Logger], model: Any, hyperparameters: dict[str, Any] | None) -> None:
    """Pass hyperparameters (None where there are none to log) and the model's graph to every logger."""
    for logger in loggers:
        if hyperparameters is not None:
            logger.log_hyperparams(hyperparameters)
        logger.log_graph(model)


def finish_loggers(loggers: Sequence[Logger], reason: BaseException | None) -> None:
    """Let every logger write all it has, also when another one of them cannot.

    The first error is raised when the run itself went well, and warned of when it did not: what ended the run counts
    more.

    Args:
        loggers: of the run.
        reason: what ended the run before its time, None where nothing did.
    """
    errors: list[Exception] = []
    for logger in loggers:
        try:
            logger.finalize("success" if reason is None else "failed")
        except Exception as error:
            errors.append(error)
    if not errors:
        return
    if isinstance(reason, LoggingError):
        return  # it is on its way already
    if reason is not None:
        warnings.warn(f"After the run had failed, a logger failed too: {errors[0]}", stacklevel=2)
    else:
        raise errors[0]
