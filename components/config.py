"""Configurations: frozen dataclasses read strictly from TOML, with overrides, one spelling and one digest.

A configuration holds only what changes results. Everything wrong with a file is reported at once, each with its path.
"""

import dataclasses
import difflib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, dataclass_transform, get_args, get_origin, get_type_hints

from components.artifacts import JsonValue, digest_of
from components.errors import ConfigError

C = TypeVar("C")
T = TypeVar("T")

LONGEST_SHOWN = 120
EXPECTED = {
    "int_type": "expected a whole number",
    "int_from_float": "expected a whole number",
    "float_type": "expected a number",
    "finite_number": "expected a finite number",
    "bool_type": "expected true or false",
    "string_type": "expected a text in quotes",
    "tuple_type": 'expected a list, such as ["a", "b"]',
    "dataclass_type": "expected a section with keys of its own, not a value",
}
"""pydantic's name of a rule -> what it expects, in words."""


@dataclass_transform(frozen_default=True, kw_only_default=True)
def config_class(cls: type[T]) -> type[T]:
    """Make a class a configuration: a frozen, keyword-only dataclass that is read with strict types.

    Check ranges in `__post_init__` and raise ValueError with the field's name, value, range and remedy.
    """
    made = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
    made.__pydantic_config__ = {"extra": "forbid", "strict": True, "allow_inf_nan": False}  # type: ignore[attr-defined]  # read by pydantic
    return made


def read_config(kind: type[C], path: Path, overrides: Sequence[str] = ()) -> C:
    """Return the configuration in a TOML file after `overrides` (`section.key=value`, the value as TOML writes it).

    A bare word is a text. `none` unsets a value that may be unset.

    Raises:
        ConfigError: unreadable TOML, unknown keys, wrong types, values out of range; all of them listed.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"No configuration file {path}. Give a name that the application has, or a path.") from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path.name} is no UTF-8 (byte {error.start}), which TOML has to be. Save it again as UTF-8."
        ) from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}. Name a TOML file that may be read.") from error
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            f"{path.name} is no valid TOML: {error}{_quoted_line(text, str(error))}. Correct that place; texts need "
            "quotes, and sections are written [train]."
        ) from error
    return make_config(kind, values, overrides, source=path.name)


def make_config(
    kind: type[C], values: Mapping[str, Any], overrides: Sequence[str] = (), *, source: str = "configuration"
) -> C:
    """Return `kind` built from nested plain values after `overrides`.

    Raises:
        ConfigError: unknown keys, wrong types, values out of range; all of them listed with their paths.
    """
    from pydantic import TypeAdapter, ValidationError  # late: artifacts and the command line's help need none of it

    merged: dict[str, Any] = _copied(values)
    wrong = [problem for text in overrides if (problem := _apply(merged, text, kind))]
    if overrides and "--set" not in source:
        source = f"{source} with --set"
    if wrong:
        lines = "\n".join(f"  - {p}" for p in wrong)
        raise ConfigError(f"{source} has {len(wrong)} override(s) that make no sense:\n{lines}")
    try:
        # As JSON: strict reading of Python values takes no dict for a dataclass and no list for a tuple.
        return TypeAdapter(kind).validate_json(json.dumps(_plain(merged), default=str))
    except ValidationError as error:
        errors = _of_chosen_classes(kind, merged, error.errors(include_url=False))
        problems = [_problem(kind, merged, e) + _blame(e, overrides) for e in errors]
        lines = "\n".join(f"  - {p}" for p in problems)
        raise ConfigError(f"{source} has {len(problems)} problem(s):\n{lines}") from None


def as_plain(config: object) -> dict[str, JsonValue]:
    """Return the resolved configuration as plain JSON values, defaults included."""
    if not dataclasses.is_dataclass(config) or isinstance(config, type):
        raise TypeError(f"{config!r} is no configuration; pass an object of a class made with `config_class`.")
    return {f.name: _plain(getattr(config, f.name)) for f in dataclasses.fields(config)}


def config_digest(config: object) -> str:
    """Return the digest of the resolved configuration."""
    return digest_of(as_plain(config))


def _plain(value: Any) -> Any:  # Any: walks values of every configuration
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return as_plain(value)
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    return value


def _copied(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _copied(v) if isinstance(v, Mapping) else v for k, v in values.items()}


def _apply(values: dict[str, Any], text: str, kind: type[Any]) -> str | None:
    """Apply one override to `values`, or return what is wrong with it."""
    path, sign, literal = text.partition("=")
    if not sign or not path.strip():
        return f"--set {text!r} is no assignment. Write it as section.key=value, e.g. train.max_epochs=3."
    names = path.strip().split(".")
    if not literal.strip():
        return (
            f"--set {text!r} gives no value. Write one behind the sign, '\"\"' for an empty text, or none to unset "
            "what may be unset."
        )
    try:
        value = tomllib.loads(f"v = {literal.strip()}")["v"]
    except tomllib.TOMLDecodeError:
        value = literal.strip()  # a bare word is a string
    if literal.strip() == "none":
        choices = _choices(_kind_at(kind, names, values))
        if NoneType in choices and "none" not in choices:
            value = None
        elif choices and not {str, Any, "none"} & set(choices):
            return f"--set {text!r}: {names[-1]!r} cannot be unset. Give it a value, or leave the --set out."
    *sections, last = names
    inner = values
    for section in sections:
        if inner.get(section) is None:
            inner[section] = {}
        inner = inner[section]
        if not isinstance(inner, dict):
            return (
                f"--set {text!r}: {section!r} is a value, not a section of {kind.__name__}. Name one of its sections."
            )
    inner[last] = value
    return None


def _of_chosen_classes(kind: type[Any], values: Any, errors: Sequence[Any]) -> list[Any]:  # Any: pydantic's own dicts
    """Leave out what classes that were not chosen find wrong with a section, and their names from the paths.

    Where no class is chosen, the first one's problem with the telling field names the other classes' values too.
    """
    kept: list[Any] = []
    for error in errors:
        section, inner, path, is_chosen = kind, values, [], True
        for part in error["loc"]:
            members = [choice for choice in _choices(section) if dataclasses.is_dataclass(choice)]
            if len(members) > 1:  # pydantic puts the class into the path
                section = _chosen(members, inner)
                is_chosen &= section.__name__ == part
                continue
            path.append(part)
            section, inner = _kind_at(section, [part], inner), _value_at(inner, part)
        if is_chosen:
            kept.append({**error, "loc": tuple(path)})
        elif error["type"] == "literal_error":
            for other in kept:
                if other["loc"] == tuple(path) and other["type"] == "literal_error":
                    other["msg"] += f" or {error['ctx']['expected']}"
    return kept


def _chosen(members: Sequence[Any], values: Any) -> Any:  # Any: walks types and values of every configuration
    """Return the class that `values` choose by a field with one literal value of its own; the first where none is."""
    for member in members:
        for name, hint in get_type_hints(member).items():
            if get_origin(hint) is Literal and get_args(hint) == (_value_at(values, name),):
                return member
    return members[0]


def _value_at(values: Any, part: Any) -> Any:  # Any: as above
    if isinstance(values, Mapping):
        return values.get(part)
    return values[part] if isinstance(values, Sequence) and isinstance(part, int) else None


def _problem(kind: type[Any], values: Any, error: Any) -> str:
    path = ".".join(str(part) for part in error["loc"])
    if error["type"] in {"extra_forbidden", "unexpected_keyword_argument"}:
        names = _names_at(kind, error["loc"][:-1], values)
        key = str(error["loc"][-1])
        near = difflib.get_close_matches(key, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(names)}.{_elsewhere(kind, key)}"
        return f"{path}: unknown key; {hint}"
    if error["type"] == "missing":
        return f"{path}: missing; give it a value."
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "value_error":
        return f"{path}: {message}" if path else message
    return f"{path} = {_shown(error['input'])}: {EXPECTED.get(error['type'], _reworded(message))}"


def _reworded(message: str) -> str:
    """Return pydantic's own words as the rest of homeroom says it; they stand where a rule has no sentence above."""
    return message.replace("Input should be", "expected")


def _shown(value: object) -> str:
    """Return a value, and not much of it."""
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def _quoted_line(text: str, told: str) -> str:
    """Return the line that a parser's message names."""
    found = re.search(r"at line (\d+)", told)
    lines = text.splitlines()
    if found is None or int(found[1]) > len(lines):
        return ""
    return f": {lines[int(found[1]) - 1].strip()[:LONGEST_SHOWN]}"


def _elsewhere(kind: Any, key: str) -> str:  # Any: walks types of every configuration
    """Return where else in the configuration there is a key of this name, or one much like it."""
    paths = list(dict.fromkeys(_paths(kind)))  # several classes of one section may share a name
    names = {path.rpartition(".")[2] for path in paths}
    near = difflib.get_close_matches(key, sorted(names), n=1, cutoff=0.7)
    found = [path for path in paths if near and path.rpartition(".")[2] == near[0]]
    return f" Did you mean {' or '.join(found[:3])}?" if found else ""


def _paths(kind: Any, above: str = "") -> Iterator[str]:  # Any: as above
    for choice in _choices(kind):
        if dataclasses.is_dataclass(choice):
            hints = get_type_hints(choice)
            for field in dataclasses.fields(choice):
                yield f"{above}{field.name}"
                yield from _paths(hints[field.name], f"{above}{field.name}.")


def _blame(error: Any, overrides: Sequence[str]) -> str:  # Any: pydantic's own dict
    """Return which `--set` a problem comes from, and what to do about it; nothing where it comes from none."""
    at = [str(part) for part in error["loc"]]
    told = str(error["msg"])
    guilty = []
    for text in overrides:
        path = text.partition("=")[0].strip()
        names = path.split(".")
        is_about = at[: len(names)] == names or (names[: len(at)] == at and names[-1] in told)
        if is_about and path not in guilty:
            guilty.append(path)
    return f" (given by --set {', '.join(guilty)}: correct it there, or leave it out)" if guilty else ""


def _names_at(kind: Any, loc: Sequence[Any], values: Any) -> list[str]:  # Any: walks types of every configuration
    found = _kind_at(kind, loc, values)
    for part in loc:
        values = _value_at(values, part)
    members = [choice for choice in _choices(found) if dataclasses.is_dataclass(choice)]
    return [field.name for field in dataclasses.fields(_chosen(members, values))] if members else []


def _kind_at(kind: Any, loc: Sequence[Any], values: Any) -> Any:  # Any: as above
    """Return the type at a path, through `X | None`, one of several classes, tuples and mappings; None for nothing."""
    for part in loc:
        sections = [c for c in _choices(kind) if dataclasses.is_dataclass(c) or get_origin(c) in {tuple, Mapping}]
        if not sections:
            return None
        origin = get_origin(sections[0])
        section = sections[0] if origin is not None or len(sections) == 1 else _chosen(sections, values)
        if origin is None:
            kind = get_type_hints(section).get(str(part))
        else:
            kind = get_args(section)[1 if origin is Mapping else 0]
        values = _value_at(values, part)
    return kind


def _choices(kind: Any) -> tuple[Any, ...]:  # Any: as above
    """Return the types of a union and the values of a literal, each on its own; nothing for no type."""
    if get_origin(kind) in {Union, UnionType}:
        return tuple(choice for member in get_args(kind) for choice in _choices(member))
    if get_origin(kind) is Literal:
        return get_args(kind)
    return () if kind is None else (kind,)
