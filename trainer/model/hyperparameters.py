"""Keeping the arguments of `__init__` as plain data, so that a checkpoint can build the object again."""

from __future__ import annotations

import ast
import copy
import csv
import dataclasses
import inspect
import json
import operator
from argparse import Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar, TypeVar

from trainer.checkpoints.files import find_unplain, load_checkpoint
from trainer.checkpoints.places import normal
from trainer.checkpoints.sharded.manifest import is_sharded
from trainer.errors import MisconfigurationException, MissingArgumentError, UnknownArgumentError, four_parts
from trainer.model.given_hyperparameters import CLASS_PATH_KEY, given_to, take_instantiator
from trainer.types import PlainState

_ARGUMENTS = "kwargs"  # Lightning's name for hyperparameters that are the arguments themselves
_Self = TypeVar("_Self", bound="HyperparametersMixin")


class AttributeDict(dict[str, Any]):
    """A dict whose keys read and write as attributes too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"There is no hyperparameter {name!r}; there are {sorted(self)}.") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        if name not in self:
            raise AttributeError(f"There is no hyperparameter {name!r}; there are {sorted(self)}.")
        del self[name]

    def __repr__(self) -> str:
        names = {key: f'"{key}":' for key in sorted(self)}
        width = max(map(len, names.values()), default=0)
        return "\n".join(f"{name:{width}} {self[key]}" for key, name in names.items())


class HyperparametersMixin:
    """`save_hyperparameters`, `hparams` and `load_from_checkpoint`, for modules and data modules."""

    CHECKPOINT_HYPER_PARAMS_KEY: ClassVar[str] = "hyper_parameters"
    CHECKPOINT_HYPER_PARAMS_NAME: ClassVar[str] = "hparams_name"
    CHECKPOINT_HYPER_PARAMS_TYPE: ClassVar[str] = "hparams_type"
    _hparams: AttributeDict | None = None
    _hparams_initial: AttributeDict | None = None
    _hparams_name: str | None = None
    _log_hyperparams: bool = False

    def save_hyperparameters(
        self,
        *args: str | Mapping[str, Any] | Namespace,
        ignore: Iterable[str] | str | None = None,
        frame: FrameType | None = None,
        logger: bool = True,
    ) -> None:
        """Keep the arguments of the `__init__` that calls this, under `self.hparams` and in checkpoints.

        Under `LightningCLI` what was configured is kept instead, so that objects among the arguments can be built
        again.

        Args:
            args: names of the arguments to keep (all by default), or one dict or namespace to keep instead.
            ignore: names of arguments to leave out.
            frame: the frame of the `__init__`, where it is not the caller's.
            logger: pass them to the loggers when fitting begins.

        Raises:
            MisconfigurationException: a value is not plain data, or a name is no argument.
        """
        caller = frame if frame is not None else inspect.currentframe().f_back  # type: ignore[union-attr]  # CPython
        configured = given_to(self)
        found = _init_arguments(self, caller) if configured is None else configured
        if len(args) == 1 and not isinstance(args[0], str):
            given = args[0]
            if not isinstance(given, Mapping | Namespace):
                raise MisconfigurationException(
                    four_parts("`save_hyperparameters` keeps names, a dict or a namespace.", got=type(given).__name__,
                               expected="one of them", remedy="Pass the names of the arguments to keep.")
                )  # fmt: skip
            same = operator.is_ if configured is None else operator.eq
            self._hparams_name = next((name for name, value in found.items() if same(value, given)), None)
            chosen = dict(vars(given)) if isinstance(given, Namespace) else dict(given)
        else:
            chosen = _pick(found, [name for name in args if isinstance(name, str)])
        for name in [ignore] if isinstance(ignore, str) else list(ignore or ()):
            chosen.pop(name, None)
        _refuse_unplain(chosen)
        self._hparams = AttributeDict(self._hparams or {}, **chosen)
        self._hparams_initial = copy.deepcopy(self._hparams)
        self._log_hyperparams = logger

    @property
    def hparams(self) -> AttributeDict:
        """Return the kept hyperparameters; changes are kept in later checkpoints."""
        if self._hparams is None:
            self._hparams = AttributeDict()
        return self._hparams

    @property
    def hparams_initial(self) -> AttributeDict:
        """Return a copy of the hyperparameters as they were kept first."""
        return copy.deepcopy(self._hparams_initial or AttributeDict())

    def hyperparameter_state(self, prefix: str = "") -> PlainState:
        """Return the checkpoint's entries for the hyperparameters; empty where none were kept."""
        if not self._hparams:
            return {}
        _refuse_unplain(self._hparams)
        namespaces = [name for name, value in self._hparams.items() if isinstance(value, Namespace)]
        plain = {name: vars(value) if name in namespaces else value for name, value in self._hparams.items()}
        state: PlainState = {
            f"{prefix}hyper_parameters": plain,
            f"{prefix}hparams_name": self._hparams_name or _ARGUMENTS,
        }
        if namespaces:
            state[f"{prefix}hparams_namespaces"] = namespaces
        return state

    @classmethod
    def _build(cls: type[_Self], checkpoint: PlainState, overrides: dict[str, Any], prefix: str = "") -> _Self:
        saved = dict(checkpoint.get(f"{prefix}hyper_parameters", {}))
        for kept in checkpoint.get(f"{prefix}hparams_namespaces", ()):
            saved[kept] = Namespace(**saved[kept])
        parameters = dict(list(inspect.signature(cls.__init__).parameters.items())[1:])
        name = checkpoint.get(f"{prefix}hparams_name")
        # Lightning writes "kwargs" where there is no one argument that holds them all.
        one = parameters.get(str(name))
        if name is not None and one is not None and one.kind is not one.VAR_KEYWORD and name not in overrides:
            return cls(**{name: AttributeDict(saved | overrides)})
        instantiate = take_instantiator(saved, cls)
        takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
        arguments = {key: value for key, value in saved.items() if takes_any or key in parameters} | overrides
        needed = [
            key
            for key, parameter in parameters.items()
            if parameter.default is parameter.empty
            and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
            and key not in arguments
            and CLASS_PATH_KEY not in arguments
        ]
        if needed:
            raise MissingArgumentError(
                f"{cls.__name__} needs the arguments {needed}, which the checkpoint does not hold; it holds "
                f"{sorted(saved)}. Pass them to `load_from_checkpoint`, or call `self.save_hyperparameters()`."
            )
        if instantiate is None:
            return cls(**arguments)
        built: _Self = instantiate(cls, arguments)
        return built


def read_for_building(path: str | Path, map_location: Any = None) -> PlainState:
    """Return the checkpoint at `path`, on the CPU unless `map_location` says otherwise.

    Of a sharded one, what only a resume needs is not read.
    """
    if is_sharded(path):
        from trainer.checkpoints.sharded.reading import read_folder  # late: it takes a while to import
        from trainer.checkpoints.sharded.tensors import SECTIONS

        return read_folder(Path(normal(path)), map_location, leaves=SECTIONS[1:])
    return load_checkpoint(path, map_location="cpu" if map_location is None else map_location)


def read_hyperparameters(path: str | Path) -> dict[str, Any]:
    """Return the hyperparameters in a .yaml, .json or .csv file (of lines "key,value", as old versions wrote).

    Raises:
        ValueError: the name of the file has another ending.
    """
    path = Path(path)
    if path.suffix in (".yaml", ".yml"):
        try:
            import yaml
        except ImportError as error:
            raise ImportError(f"Reading {path} needs PyYAML. Install it with `pip install pyyaml`.") from error
        return dict(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    if path.suffix == ".json":
        return dict(json.loads(path.read_text(encoding="utf-8")))
    if path.suffix == ".csv":
        with open(path, newline="", encoding="utf-8") as file:
            return {row["key"]: _literal(row["value"]) for row in csv.DictReader(file)}
    raise ValueError(
        f"`hparams_file` has an unknown ending. Got {path.name!r}; expected .yaml, .yml, .json or .csv. Convert it."
    )


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _init_arguments(instance: object, frame: FrameType | None) -> dict[str, Any]:
    """Return the arguments of the `__init__` calls of `instance` from `frame` outwards; the outermost win."""
    found: dict[str, Any] = {}
    if dataclasses.is_dataclass(instance) and frame is not None and frame.f_code.co_name == "__post_init__":
        return {field.name: getattr(instance, field.name) for field in dataclasses.fields(instance) if field.init}
    while frame is not None and frame.f_code.co_name == "__init__":
        names = frame.f_code.co_varnames[: frame.f_code.co_argcount + frame.f_code.co_kwonlyargcount]
        local_values = frame.f_locals
        if not names or local_values.get(names[0]) is not instance:
            break
        found |= {name: local_values[name] for name in names[1:] if name in local_values}
        if frame.f_code.co_flags & inspect.CO_VARKEYWORDS:
            position = len(names) + bool(frame.f_code.co_flags & inspect.CO_VARARGS)
            found |= local_values.get(frame.f_code.co_varnames[position], {})
        frame = frame.f_back
    return found


def _pick(found: dict[str, Any], names: list[str]) -> dict[str, Any]:
    unknown = [name for name in names if name not in found]
    if unknown:
        raise UnknownArgumentError(
            four_parts(
                "`save_hyperparameters` was given names that are no arguments of `__init__`.",
                got=unknown,
                expected=f"names among {sorted(found)}",
                remedy="Correct the names.",
            )
        )
    return {name: found[name] for name in names} if names else found


def _refuse_unplain(values: Mapping[str, Any]) -> None:
    problems = []
    for name, value in values.items():
        place = find_unplain(vars(value) if isinstance(value, Namespace) else value, name)
        if place is not None:
            problems.append(place)
    if problems:
        names = [place.split("[")[0].split(":")[0] for place in problems]
        raise MisconfigurationException(
            "Hyperparameters must be plain data (numbers, text, lists, dicts, tensors), so that the checkpoint loads "
            f"without running code. Got {'; '.join(problems)}. Pass plain values and build the objects from them in "
            f"`__init__`, or call `save_hyperparameters(ignore={names})`."
        )
