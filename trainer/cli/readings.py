"""Small readings of what a command line is made from: versions, registers, types and docstrings."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, get_type_hints

import docstring_parser

from trainer.callback import Callback
from trainer.cli.parser import AUTOMATIC
from trainer.utilities.rank_zero import rank_zero_warn


def version_of_homeroom() -> str:
    """Return the installed version, or that it is unknown."""
    try:
        return version("homeroom")
    except PackageNotFoundError:
        return "unknown"


def automatic(register: Mapping[str, tuple[type | tuple[type, ...], str]]) -> list[str]:
    """Return the keys of a parser's register whose classes `configure_optimizers` is written for."""
    return [key for key, (_, target) in register.items() if target == AUTOMATIC]


def as_list(callbacks: Any) -> list[Callback]:
    """Return callbacks, one of them, or None as a list."""
    return [] if callbacks is None else list(callbacks) if isinstance(callbacks, list | tuple) else [callbacks]


def returned(given: type | Callable[..., Any]) -> type:
    """Return a class as it is, and the annotated return type of a function."""
    if isinstance(given, type):
        return given
    try:
        found: type = get_type_hints(given)["return"]
    except (NameError, KeyError):
        found = inspect.signature(given).return_annotation
    return found


def short_description(component: object) -> str | None:
    """Return the first sentence of a docstring, None where there is none or it cannot be read."""
    if component.__doc__ is None:
        return None
    try:
        return docstring_parser.parse(component.__doc__).short_description
    except (ValueError, docstring_parser.ParseError) as error:
        rank_zero_warn(f"The docstring of {component} cannot be read: {error}")
        return None
