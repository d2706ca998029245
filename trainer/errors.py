"""Errors of the trainer: one root, few children, each also a builtin exception."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "CheckpointError",
    "CheckpointMissingError",
    "DistributedError",
    "HyperparameterClashError",
    "LateRankError",
    "LoggingError",
    "ManualOptimizationError",
    "MetricNotFoundError",
    "MisconfigurationException",
    "MissingArgumentError",
    "NoBestCheckpointError",
    "RankFailedError",
    "RemovedHookError",
    "SIGTERMException",
    "SharedStateError",
    "TrainerError",
    "UnevenBatchesError",
    "UnknownArgumentError",
    "WrongSignatureError",
    "WrongTypeError",
]


class TrainerError(Exception):
    """Root of every error the trainer raises on purpose."""


class MisconfigurationException(TrainerError, ValueError):
    """A combination of arguments, hooks or values that cannot work."""


class WrongTypeError(MisconfigurationException, TypeError):
    """Something that is of another type than what it is given for."""


class WrongSignatureError(MisconfigurationException, RuntimeError):
    """A step or hook whose arguments are not those it is called with."""


class UnknownArgumentError(MisconfigurationException, KeyError):
    """A name that is no argument of `__init__`."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class HyperparameterClashError(MisconfigurationException, RuntimeError):
    """A hyperparameter for which module and data module have different values."""


class ManualOptimizationError(MisconfigurationException, RuntimeError):
    """Something that only manual optimisation can do."""


class RemovedHookError(MisconfigurationException, NotImplementedError):
    """A hook of an earlier version of Lightning, which nobody would call."""


class SharedStateError(MisconfigurationException, RuntimeError):
    """Two callbacks whose states would have one name in a checkpoint."""


class MetricNotFoundError(MisconfigurationException, KeyError, RuntimeError):
    """A monitored metric that nobody logged."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class CheckpointError(TrainerError, RuntimeError):
    """A checkpoint that cannot be written, read or continued from."""


class CheckpointMissingError(CheckpointError, FileNotFoundError):
    """A checkpoint that is asked for and is not there."""


class MissingArgumentError(CheckpointError, TypeError):
    """Arguments that building from a checkpoint needs and nobody gave."""


class NoBestCheckpointError(CheckpointError, ValueError):
    """The best checkpoint was asked for, and there is none."""


class LoggingError(TrainerError, RuntimeError):
    """Metrics that could not be written to the place a logger sends them to."""


class DistributedError(TrainerError, RuntimeError):
    """A process group that cannot be formed or does not agree."""


class LateRankError(DistributedError):
    """Processes that did not arrive at an exchange in time.

    Attributes:
        late_ranks: which.
        operation: the exchange.
    """

    def __init__(self, message: str, *, late_ranks: Sequence[int] = (), operation: str = "") -> None:
        super().__init__(message)
        self.late_ranks = tuple(late_ranks)
        self.operation = operation


class UnevenBatchesError(DistributedError):
    """Ranks that would run different numbers of training batches."""


class RankFailedError(DistributedError):
    """Another process of the run failed first; its traceback is in the message."""


class SIGTERMException(TrainerError, SystemExit):
    """The process was asked to end; uncaught, it exits with 143 (128 + SIGTERM).

    Attributes:
        is_common: every process of the run raises it, after the same batch: they can still save together.
    """

    is_common = False

    def __init__(self, message: str = "SIGTERM received") -> None:
        super().__init__(message)
        self.code = 143

    @classmethod
    def of_all_processes(cls) -> SIGTERMException:
        """Return one that all processes raise after the same batch."""
        error = cls()
        error.is_common = True
        return error


def four_parts(wrong: str, *, got: object, expected: str, remedy: str) -> str:
    """Return one message that says what is wrong, the value, what was expected and what to do."""
    return f"{wrong} Got {got!r}; expected {expected}. {remedy}"
