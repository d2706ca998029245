"""Doing something in one process only: the one of rank zero."""

from __future__ import annotations

import functools
import logging
import os
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, overload

__all__ = ["rank_zero_debug", "rank_zero_deprecation", "rank_zero_info", "rank_zero_only", "rank_zero_warn"]

_P = ParamSpec("_P")
_T = TypeVar("_T")
_RANK_VARIABLES = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")
_log = logging.getLogger("trainer")


class rank_zero_only:
    """Call the function on rank zero; elsewhere return `default`.

    Attributes:
        rank: the rank of this process, from the environment of whoever started it; it may be set.
    """

    rank: int = next((int(os.environ[name]) for name in _RANK_VARIABLES if name in os.environ), 0)

    @overload
    def __new__(cls, function: Callable[_P, _T]) -> Callable[_P, _T | None]: ...  # type: ignore[misc]  # a decorator

    @overload
    def __new__(cls, function: Callable[_P, _T], default: _T) -> Callable[_P, _T]: ...  # type: ignore[misc]  # as above

    def __new__(cls, function: Callable[_P, _T], default: Any = None) -> Callable[_P, Any]:  # type: ignore[misc]
        """Return `function` behind the question which rank this is."""

        @functools.wraps(function)
        def on_rank_zero(*args: _P.args, **kwargs: _P.kwargs) -> Any:
            return function(*args, **kwargs) if cls.rank == 0 else default

        return on_rank_zero


@rank_zero_only
def rank_zero_info(*args: Any, stacklevel: int = 4, **kwargs: Any) -> None:
    """Log a message at the level INFO."""
    _log.info(*args, stacklevel=stacklevel, **kwargs)


@rank_zero_only
def rank_zero_debug(*args: Any, stacklevel: int = 4, **kwargs: Any) -> None:
    """Log a message at the level DEBUG."""
    _log.debug(*args, stacklevel=stacklevel, **kwargs)


@rank_zero_only
def rank_zero_warn(message: str | Warning, stacklevel: int = 4, **kwargs: Any) -> None:
    """Issue a warning."""
    warnings.warn(message, stacklevel=stacklevel, **kwargs)


def rank_zero_deprecation(message: str | Warning, stacklevel: int = 5, **kwargs: Any) -> None:
    """Issue a DeprecationWarning."""
    rank_zero_warn(message, stacklevel=stacklevel, **({"category": DeprecationWarning} | kwargs))
