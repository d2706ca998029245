"""Errors of the pipeline: one root, a few children, each also a builtin, each with the exit code of the command line.

A message has four parts: what is wrong, the offending value, what was expected, what to do. It never holds a student's
text, name or identifier.
"""

from typing import ClassVar

INTERNAL = 70
"""Exit code of a fault in homeroom itself, as in BSD's sysexits."""
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it."""


class PipelineError(Exception):
    """Root of everything that components raise on purpose."""

    exit_code: ClassVar[int] = 1


class ConfigError(PipelineError, ValueError):
    """A configuration is wrong; the message lists every problem with its path."""

    exit_code = 2


class SchemaError(PipelineError, ValueError):
    """Data do not have the columns, types or layout that were expected."""

    exit_code = 3


class QuarantineLimitError(SchemaError):
    """More rows were unusable than the configuration allows."""


class NotEnoughDataError(PipelineError, ValueError):
    """A number cannot be estimated from so few rows, students or classes."""

    exit_code = 3


class StoreError(PipelineError, OSError):
    """The artifact store could not do what was asked."""

    exit_code = 4


class ArtifactMissingError(StoreError, FileNotFoundError):
    """The store holds no such artifact, or holds it without its manifest."""


class DigestMismatchError(StoreError):
    """The bytes in the store are not the bytes that were published."""


class StoreConflictError(StoreError, FileExistsError):
    """Somebody else wrote first."""


class NoRoomError(StoreError):
    """A disk, or the memory, is full."""

    exit_code = 8


class TrainingFailedError(PipelineError, RuntimeError):
    """The training process ended without a result."""

    exit_code = 5


class TrainingPreemptedError(TrainingFailedError):
    """The training process was asked to make room, saved and ended; the same command goes on."""

    exit_code = 75  # as in BSD's sysexits: a temporary failure, to be tried again


class ExportError(PipelineError, RuntimeError):
    """The exported model does not do what the trained model does."""

    exit_code = 5


class GateStoppedError(PipelineError, RuntimeError):
    """A limit on quality or fairness was crossed and the configuration says to stop."""

    exit_code = 6


class DependencyMissingError(PipelineError, ImportError):
    """An optional package is needed for this."""

    exit_code = 7


class DeviceMissingError(PipelineError, RuntimeError):
    """The configuration asks for a device that this machine does not have."""

    exit_code = 9
