"""Building what a configuration describes, and keeping that description as the hyperparameters of what was built."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from trainer.checkpoints.files import find_unplain
from trainer.cli.jsonargparse_names import instantiate
from trainer.cli.lightning_paths import as_ours
from trainer.model.given_hyperparameters import CLASS_PATH_KEY, given_hyperparameters

__all__ = ["HyperparameterKeeper", "class_path_of", "instantiate_class", "instantiate_module", "with_class_path"]


def instantiate_class(args: Any, init: dict[str, Any]) -> Any:  # an instance of whatever class is named
    """Return an instance of the class at `init["class_path"]`.

    Args:
        args: the positional arguments; one that is no tuple stands for itself.
        init: the class's path, and keyword arguments under "init_args".
    """
    positional = args if isinstance(args, tuple) else (args,)
    return _import(init["class_path"])(*positional, **(init.get("init_args") or {}))


def instantiate_module(class_type: type, config: dict[str, Any]) -> Any:  # an instance of `class_type`
    """Return the module or data module that hyperparameters from a command line describe.

    Args:
        class_type: its class, or a base of it where `config` names the class itself.
        config: the hyperparameters; objects among them are described by "class_path" and "init_args".

    Raises:
        jsonargparse.ArgumentError: the hyperparameters do not fit the class.
    """
    parser = ArgumentParser(exit_on_error=False)
    config = as_ours(config)
    owner, described = class_type, config
    if CLASS_PATH_KEY in config:
        parser.add_subclass_arguments(class_type, "module", fail_untyped=False)
        arguments = {name: value for name, value in config.items() if name != CLASS_PATH_KEY}
        described = {"class_path": config[CLASS_PATH_KEY], "dict_kwargs": arguments}
        owner = _import(config[CLASS_PATH_KEY])
    else:
        parser.add_class_arguments(class_type, "module", fail_untyped=False)
    parsed = parser.parse_object({"module": described})
    with given_hyperparameters({n: v for n, v in config.items() if find_unplain(v, n) is None}, owner=owner):
        return instantiate(parser, parsed).module


def class_path_of(kind: type) -> str:
    """Return where a class is."""
    return f"{kind.__module__}.{kind.__name__}"


def with_class_path(kind: type, init_args: Namespace | dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the description of an instance of `kind`."""
    given = init_args.as_dict() if isinstance(init_args, Namespace) else init_args
    return {"class_path": class_path_of(kind), "init_args": given or {}}


class HyperparameterKeeper:
    """Builds a model or a data module, which keeps as hyperparameters what was configured for it.

    Args:
        config: returns the whole configuration as plain data.
        key: where in it this object is described.
    """

    def __init__(self, config: Callable[[], dict[str, Any]], key: str) -> None:
        self._config, self._key = config, key

    def __call__(
        self, class_type: type, *args: Any, applied_instantiation_links: Mapping[str, Any], **kwargs: Any
    ) -> Any:
        """Return the instance; called by jsonargparse."""
        described = self._config().get(self._key) or {}
        is_outermost = True
        if "class_path" in described:
            outermost = described
            described = _find_description(outermost, class_type, kwargs)
            if described is None:
                return class_type(*args, **kwargs)
            is_outermost = described is outermost
            values = {
                CLASS_PATH_KEY: described["class_path"],
                **(described.get("init_args") or {}),
                **(described.get("dict_kwargs") or {}),
            }
        else:
            values = dict(described)
        if is_outermost:
            self._add_links(values, applied_instantiation_links)
        owner = None if hasattr(class_type, "wrapped_function") else class_type
        with given_hyperparameters(values, owner=owner):
            return class_type(*args, **kwargs)

    def _add_links(self, values: dict[str, Any], links: Mapping[str, Any]) -> None:
        """Add the values that other objects gave, which the configuration does not have."""
        for target, value in links.items():
            if target.startswith(f"{self._key}."):
                *folders, name = target.removeprefix(f"{self._key}.").removeprefix("init_args.").split(".")
                place = values
                for folder in folders:
                    place = place[folder]
                place[name] = _plain_number(value)


def _plain_number(value: Any) -> Any:
    """Return a NumPy number as a plain one, anything else as it is."""
    return value.item() if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0 else value


def _find_description(outermost: Mapping[str, Any], class_type: type, arguments: Mapping[str, Any]) -> Any:
    """Return the part of a configuration that describes this instance, None where none does.

    A model may hold other models, each of them built like this one. Of several of one class, the arguments decide.
    """
    found = [part for part in _descriptions(outermost) if _is_path_of(part["class_path"], class_type)]
    fitting = (part for part in found if _fits(part.get("init_args") or {}, arguments))
    return next(fitting, found[0] if found else None)


def _fits(described: Mapping[str, Any], arguments: Mapping[str, Any]) -> bool:
    simple = bool | int | float | str
    return all(
        arguments[name] == value
        for name, value in described.items()
        if isinstance(value, simple) and isinstance(arguments.get(name), simple)
    )


def _descriptions(part: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every part of plain data that describes an object, from outside to inside."""
    if isinstance(part, Mapping):
        if isinstance(part.get("class_path"), str):
            yield part
        for value in part.values():
            yield from _descriptions(value)
    elif isinstance(part, list):
        for value in part:
            yield from _descriptions(value)


def _is_path_of(class_path: str, class_type: type) -> bool:
    try:
        return _import(class_path) in (class_type, getattr(class_type, "wrapped_function", class_type))
    except (ImportError, AttributeError, ValueError):
        return False


def _import(class_path: str) -> Any:  # whatever is there
    """Return what is at a dotted path, also inside a class."""
    parts = class_path.split(".")
    for length in range(len(parts) - 1, 0, -1):
        try:
            found: Any = import_module(".".join(parts[:length]))
        except ModuleNotFoundError as error:
            if error.name is None or not ".".join(parts[:length]).startswith(error.name):
                raise
            continue
        for name in parts[length:]:
            found = getattr(found, name)
        return found
    raise ImportError(f"There is nothing at {class_path!r}. Write the path as `module.Class`.")
