"""Class paths of Lightning in configurations and on command lines: read as those of this package."""

from __future__ import annotations

import functools
import re
from importlib import import_module
from typing import Any

from jsonargparse import get_loader, set_loader
from yaml import YAMLError

from trainer.cli.known_classes import PACKAGES

PARSER_MODE = "yaml_of_lightning"
"""jsonargparse's name for YAML in which class paths may be Lightning's."""

_PATH = re.compile(r"(?:lightning\.pytorch|lightning\.fabric|pytorch_lightning)\.(\w+)\.(?:\w+\.)*(\w+)")


def register_parser_mode() -> None:
    """Make `PARSER_MODE` known to jsonargparse."""
    load_yaml = get_loader("yaml")

    def load(text: str) -> Any:  # what YAML holds
        return as_ours(load_yaml(text))

    set_loader(PARSER_MODE, load, exceptions=(YAMLError,))


def as_ours(value: Any) -> Any:
    """Return plain data with every path of a class of Lightning that this package has too as our path.

    Other paths stay, so that what is missing is named by the path that the user wrote.
    """
    if isinstance(value, dict):
        return {key: as_ours(part) for key, part in value.items()}
    if isinstance(value, list):
        return [as_ours(part) for part in value]
    return _our_path(value) if isinstance(value, str) else value


def argument_as_ours(argument: str) -> str:
    """Return an argument of a command line, `--key=value` or a value alone, with our path in it."""
    key, equals, value = argument.rpartition("=")
    return f"{key}{equals}{_our_path(value)}"


def _our_path(text: str) -> str:
    found = _PATH.fullmatch(text)
    if found is None:
        return _second_names().get(text, text)
    package, name = found.groups()
    if package in (*PACKAGES, "cli") and name in import_module(f"trainer.{package}").__all__:
        return f"trainer.{package}.{name}"
    return text


@functools.cache
def _second_names() -> dict[str, str]:
    """Return the paths of names like DDPStrategy, which are Lightning's for classes that are called otherwise here."""
    found = {}
    for package in ("strategies", "plugins"):
        module = import_module(f"trainer.{package}")
        for name in module.__all__:
            member = getattr(module, name)
            if isinstance(member, type) and member.__name__ != name:
                found[name] = f"trainer.{package}.{name}"
    return found
