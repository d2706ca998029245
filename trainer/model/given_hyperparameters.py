"""Hyperparameters as a command line gave them: they stand for the arguments of `__init__`, and build it again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib import import_module
from typing import Any

INSTANTIATOR_KEY = "_instantiator"
CLASS_PATH_KEY = "_class_path"
INSTANTIATOR = "trainer.cli.instantiate_module"
# What a checkpoint may name, ours and Lightning's; all mean ours, and nothing else is ever imported for it.
ALLOWED_INSTANTIATORS = frozenset(
    {INSTANTIATOR, "lightning.pytorch.cli.instantiate_module", "pytorch_lightning.cli.instantiate_module"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    values: dict[str, Any]
    owner: type | None


_GIVEN: ContextVar[_Given | None] = ContextVar("given_hyperparameters", default=None)


@contextmanager
def given_hyperparameters(values: Mapping[str, Any], *, owner: type | None = None) -> Iterator[None]:
    """Let `save_hyperparameters` inside the block keep `values` rather than the arguments of `__init__`.

    Args:
        values: hyperparameters by name, as plain data.
        owner: the class they belong to, so that other modules built inside keep their own; None is whoever asks.
    """
    token = _GIVEN.set(_Given(values={**values, INSTANTIATOR_KEY: INSTANTIATOR}, owner=owner))
    try:
        yield
    finally:
        _GIVEN.reset(token)


def given_to(instance: object) -> dict[str, Any] | None:
    """Return the hyperparameters that were given to `instance`, None where there are none."""
    given = _GIVEN.get()
    if given is None or (given.owner is not None and type(instance) is not given.owner):
        return None
    return dict(given.values)


def take_instantiator(saved: dict[str, Any], cls: type) -> Callable[[type, dict[str, Any]], Any] | None:
    """Return what builds `cls` from the hyperparameters `saved`, None where calling the class does.

    Takes the entry that names it out of `saved`.

    Raises:
        ValueError: the checkpoint names an instantiator of its own, or a class that is not imported yet. Importing
            what a file names could run code.
    """
    path = saved.pop(INSTANTIATOR_KEY, None)
    if path is None:
        return None
    if not isinstance(path, str) or path not in ALLOWED_INSTANTIATORS:
        raise ValueError(
            f"The checkpoint wants to be built by something that is not trusted. Got {path!r}; expected one of "
            f"{sorted(ALLOWED_INSTANTIATORS)}. Build the object yourself and load the weights into it."
        )
    class_path = saved.get(CLASS_PATH_KEY)
    if class_path is not None and not _is_imported_subclass(class_path, cls):
        raise ValueError(
            f"The checkpoint names a class that cannot be trusted. Got {class_path!r}; expected a subclass of "
            f"{cls.__name__} that is imported already. Import the module that defines it first."
        )
    build: Callable[[type, dict[str, Any]], Any] = import_module("trainer.cli").instantiate_module
    return build


def _is_imported_subclass(class_path: object, cls: type) -> bool:
    """Return whether `class_path` leads to a subclass of `cls` through modules that are imported already."""
    if not isinstance(class_path, str):
        return False
    parts = class_path.split(".")
    for length in range(len(parts) - 1, 0, -1):
        found: Any = sys.modules.get(".".join(parts[:length]))
        if found is None:
            continue
        for name in parts[length:]:
            found = getattr(found, name, None)
        return isinstance(found, type) and issubclass(found, cls)
    return False
