"""Errors of serving: one root, a few children, each also a builtin, each with the HTTP status that it becomes.

A message never holds a student's text, name or identifier, nor any value of a request.
"""

from typing import ClassVar

from components.errors import PipelineError


class ServingError(PipelineError):
    """Root of everything that serving raises on purpose."""

    status: ClassVar[int] = 500


class BundleError(ServingError, ValueError):
    """A verified bundle cannot be served: its codec or model is not what serving needs."""

    exit_code = 4
    status = 503


class BadRequestError(ServingError, ValueError):
    """A request cannot be read or makes no sense.

    Args:
        message: one sentence for the client.
        problems: every problem found, as (path, rule); no values.
        status: 400, or 413 for a body that is too large.
    """

    def __init__(self, message: str, problems: tuple[tuple[str, str], ...] = (), *, status: int = 400) -> None:
        super().__init__(message)
        self.problems = problems
        self.status_here = status


class OverloadedError(ServingError, BlockingIOError):
    """Too many requests are waiting, or the server is about to stop; ask again later."""

    status = 503


class NotReadyError(ServingError, RuntimeError):
    """The server has no release that it may answer with."""

    status = 503


class AnswerTimeoutError(ServingError, TimeoutError):
    """The answer was not there in time."""

    status = 504


class ModelError(ServingError, RuntimeError):
    """The model or codec failed on a request that was read without complaint."""


class ServerStartError(ServingError, RuntimeError):
    """The server process did not become ready, or ended by itself."""

    exit_code = 4


class PortTakenError(ServerStartError):
    """The port was free, and another program took it before the server could."""


class ReleaseNotFoundError(ServingError, LookupError):
    """No release, or more than one, goes by this version."""

    exit_code = 4
    status = 404


class AccessFileError(ServingError, ValueError):
    """The file of access keys cannot be read, makes no sense, or does not have what was asked of it."""

    exit_code = 4
    status = 503
