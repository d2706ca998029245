"""Names and values on their way to a logger: prefixes, numbers, hyperparameters in flat and plain forms."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_YAML_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "none"})


def prefixed(metrics: Mapping[str, Any], prefix: str, join: str = "-") -> dict[str, Any]:
    """Return the metrics with `prefix` and `join` before each name; unchanged without a prefix."""
    return {f"{prefix}{join}{name}": value for name, value in metrics.items()} if prefix else dict(metrics)


def as_number(value: Any) -> Any:
    """Return the number in a tensor of one element; anything else as it is."""
    return value.item() if isinstance(value, Tensor) else value


def as_dict(params: Mapping[str, Any] | Namespace | None) -> dict[str, Any]:
    """Return hyperparameters as a new dict."""
    if params is None:
        return {}
    return dict(vars(params)) if isinstance(params, Namespace) else dict(params)


def flattened(params: Mapping[Any, Any], delimiter: str = "/", parent: str = "") -> dict[str, Any]:
    """Return nested dicts, namespaces, dataclasses and lists of dicts as one level: {"a": {"b": 1}} as {"a/b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in params.items():
        name = f"{parent}{delimiter}{key}" if parent else str(key)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            value = dataclasses.asdict(value)
        elif isinstance(value, Namespace):
            value = vars(value)
        if isinstance(value, Mapping):
            flat |= flattened(value, delimiter, name)
        elif isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
            for index, item in enumerate(value):
                flat |= flattened(item, delimiter, f"{name}{delimiter}{index}")
        else:
            flat[name] = value
    return flat


def simple(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values as bool, int, float, text or tensor, whatever else as text."""
    plain = {name: value.item() if type(value).__module__ == "numpy" and hasattr(value, "item") and not value.shape
             else value for name, value in params.items()}  # fmt: skip
    kinds = (bool, int, float, str, Tensor)
    return {name: value if type(value) in kinds else str(value) for name, value in plain.items()}


def write_hparams(path: Path, params: Mapping[str, Any]) -> None:
    """Write hyperparameters as YAML, one line for each; what is no plain data is written as text."""
    lines = [f"{_key(str(name))}: {_flow(value)}\n" for name, value in params.items()]
    path.write_text("".join(lines) or "{}\n", encoding="utf-8")


def _key(name: str) -> str:
    return name if _PLAIN_KEY.fullmatch(name) and name.lower() not in _YAML_WORDS else json.dumps(name)


def _flow(value: Any) -> str:
    """Return a value in YAML's flow style, which is JSON but for numbers that YAML 1.1 would read as text."""
    if isinstance(value, Namespace):
        value = vars(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(str(key))}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_flow(item) for item in value) + "]"
    if value is None or type(value) in (bool, int, str):
        return json.dumps(value)
    if type(value) is float:
        if not math.isfinite(value):
            return ".nan" if math.isnan(value) else (".inf" if value > 0 else "-.inf")
        text = repr(value)
        return text if "." in text or "e" not in text else text.replace("e", ".0e")
    if isinstance(value, Tensor):
        return _flow(value.tolist())
    return json.dumps(str(value))
