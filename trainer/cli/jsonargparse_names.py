"""What jsonargparse renamed and moved between 4.40 and now."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jsonargparse
import jsonargparse.typing
from jsonargparse import ArgumentParser, Namespace

_functions: Any = jsonargparse.typing if hasattr(jsonargparse.typing, "class_from_function") else jsonargparse
class_from_function: Callable[[Callable[..., Any]], type] = _functions.class_from_function
Instantiator = tuple[Callable[..., Any], type, bool]  # what builds, the class, and whether its subclasses too

KEEP_NONE: dict[str, bool] = {"skip_unset" if hasattr(ArgumentParser, "instantiate") else "skip_none": False}
"""The option of `dump` and `save` that writes arguments without a value too."""


def instantiate(parser: ArgumentParser, config: Namespace, instantiators: Sequence[Instantiator] = ()) -> Namespace:
    """Return `config` with the objects that it describes."""
    scoped = getattr(parser, "instantiate", None)
    if scoped is not None and "instantiators" in inspect.signature(scoped).parameters:
        built: Namespace = scoped(config, instantiators=list(instantiators))
        return built
    for build, kind, with_subclasses in instantiators:
        parser.add_instantiator(build, kind, subclasses=with_subclasses)
    built = parser.instantiate_classes(config)
    return built
