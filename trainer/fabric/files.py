"""Files of a Fabric: the state of modules, optimizers and plain data under names, in one dict."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn
from torch.optim import Optimizer

from trainer.checkpoints.files import check_weights_only, load_plain, save_checkpoint
from trainer.checkpoints.sharded.exchange import exchange_of
from trainer.strategies import Strategy
from trainer.types import PlainState, Stateful


def save_state(
    path: str | Path,
    state: dict[str, Any],
    filters: dict[str, Callable[[str, Any], bool]] | None,
    strategy: Strategy,
) -> None:
    """Write the state of everything in `state`, filtered; see `Fabric.save`.

    Raises:
        TypeError: `filters` is no dict of functions.
        ValueError: `filters` names something that `state` has not.
        CheckpointError: something is not plain, or the file system refuses.
    """
    if filters is not None:
        if not isinstance(filters, dict):
            raise TypeError(f"Filter should be a dictionary, given {filters!r}")
        unknown = sorted(set(filters) - set(state))
        if unknown:
            raise ValueError(f"The filter keys {unknown} are not present in the state keys {sorted(state)}.")
        for name, function in filters.items():
            if not callable(function):
                raise TypeError(f"The filter of {name!r} should be a callable, given {function!r}")
    plain: PlainState = {}
    for name, value in state.items():
        if isinstance(value, Optimizer):
            found: Any = strategy.optimizer_state(value)  # which may be split over the processes
        else:
            found = value.state_dict() if isinstance(value, Stateful) else value
        keeps = (filters or {}).get(name)
        if keeps is not None and isinstance(found, dict):
            found = {key: part for key, part in found.items() if keeps(key, part)}
        plain[name] = found
    plain = strategy.whole(plain)
    exchange_of(strategy).together(lambda: save_checkpoint(plain, path) if strategy.environment.rank == 0 else None)


def load_state(
    path: str | Path, state: dict[str, Any] | None, strategy: Strategy, *, strict: bool, weights_only: bool | None
) -> dict[str, Any]:
    """Read a file into `state` and return what is left of it; see `Fabric.load`.

    Raises:
        KeyError: names are missing in the file and `strict`.
        CheckpointError: the file is missing, damaged, or holds more than plain data.
    """
    check_weights_only(weights_only)
    found = load_plain(path, lazily=strategy.defers)
    if not isinstance(found, dict):
        found = {"state": found}
    if not state:
        return found
    missing = sorted(set(state) - set(found))
    if missing and strict:
        raise KeyError(
            f"The requested state contains keys {missing} that do not exist in the checkpoint {path}, which has "
            f"{sorted(found)}. Leave them out, or pass strict=False."
        )
    for name, value in state.items():
        if name not in found:
            continue
        if isinstance(value, nn.Module):
            strategy.load_module(value, found.pop(name), strict)
        elif isinstance(value, Optimizer):
            strategy.load_optimizer(value, found.pop(name))
        elif isinstance(value, Stateful):
            value.load_state_dict(found.pop(name))
        else:
            state[name] = found.pop(name)
    return found


def load_raw_state(path: str | Path, obj: Any, strategy: Strategy, *, strict: bool, weights_only: bool | None) -> None:
    """Read the state of one module or optimizer; see `Fabric.load_raw`."""
    check_weights_only(weights_only)
    found = load_plain(path)
    if isinstance(obj, nn.Module):
        strategy.load_module(obj, found, strict)
    elif isinstance(obj, Optimizer):
        strategy.load_optimizer(obj, found)
    else:
        obj.load_state_dict(found)
