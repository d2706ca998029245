"""Models that were built on the meta device: shapes without values, until they are where they will stay.

A layer is filled by its own `reset_parameters` as a whole and split afterwards, so that the values do not depend on the
number of processes: they are those of the same layer built on a device, drawn in the order of the model's parts, where
each is drawn once and by its own `reset_parameters`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Literal

import torch
from torch import Tensor, nn

from trainer.errors import MisconfigurationException, four_parts
from trainer.utilities.rank_zero import rank_zero_warn

_RESETS = ("reset_parameters", "_reset_parameters")
Missing = Literal["refuse", "warn", "allow"]


def is_deferred(module: nn.Module) -> bool:
    """Return whether a parameter or buffer of `module` is on the meta device."""
    return any(tensor.is_meta for tensor in itertools.chain(module.parameters(), module.buffers()))


def names_without_values(root: nn.Module) -> set[str]:
    """Return the names of what is on the meta device and has no `reset_parameters` to fill it."""
    _, lacking = _units(root)
    parts = {id(part) for part in lacking}
    return {
        f"{name}.{own}" if name else own
        for name, part in root.named_modules()
        if id(part) in parts
        for own, tensor in itertools.chain(part.named_parameters(recurse=False), part.named_buffers(recurse=False))
        if tensor.is_meta and own not in part._non_persistent_buffers_set
    }


def materialise(
    root: nn.Module,
    device: torch.device,
    put: Callable[[Tensor, Tensor], None] | None = None,
    missing: Missing = "refuse",
) -> None:
    """Give every tensor on the meta device storage on `device` and values; move the others there.

    Args:
        root: the model, split already where it is to be split.
        device: where it computes, or where its parameters are kept.
        put: writes a whole value into a parameter that may be split; by default a copy.
        missing: what to do about layers without `reset_parameters`, whose values are left as they come.

    Raises:
        MisconfigurationException: there are such layers, and `missing` is "refuse".
    """
    units, lacking = _units(root)
    _check(root, lacking, missing)
    deferred = {id(p): p for p in root.parameters() if p.is_meta}
    names = [(part, name) for part in root.modules() for name, p in part._parameters.items() if id(p) in deferred]
    _allocate(root, device)
    fresh = {id(part._parameters[name]) for part, name in names}
    shared: set[int] = set()
    for unit in units:
        _fill(unit, device, fresh, shared, put or _copy)


def _copy(target: Tensor, value: Tensor) -> None:
    target.copy_(value)


def _reset_of(module: nn.Module) -> Callable[[], object] | None:
    return next((method for name in _RESETS if callable(method := getattr(module, name, None))), None)


def _units(root: nn.Module) -> tuple[list[nn.Module], list[nn.Module]]:
    """Return the outermost modules that can fill themselves, and the modules with own tensors that cannot."""
    units: list[nn.Module] = []
    lacking: list[nn.Module] = []

    def walk(module: nn.Module) -> None:
        if not is_deferred(module):
            return
        if _reset_of(module) is not None:
            units.append(module)
            return
        own = itertools.chain(module.parameters(recurse=False), module.buffers(recurse=False))
        if any(tensor.is_meta for tensor in own):
            lacking.append(module)
        for child in module.children():
            walk(child)

    walk(root)
    return list(dict.fromkeys(units)), lacking


def _check(root: nn.Module, lacking: list[nn.Module], missing: Missing) -> None:
    transient = [part for part in lacking if part._non_persistent_buffers_set]  # no checkpoint holds these
    found = lacking if missing == "refuse" else transient
    if found:
        names = {id(part): name for name, part in root.named_modules()}
        types = {id(part): type(part).__name__.removeprefix("FSDP") for part in found}
        raise MisconfigurationException(
            four_parts("A layer was built on the meta device and cannot fill itself with values.",
                       got=[f"{names[key].removeprefix('module.') or 'the model'}: {types[key]}" for key in types],
                       expected="a method `reset_parameters` that sets its own parameters and buffers, or a checkpoint",
                       remedy="Write one, pass `ckpt_path`, or build this layer outside of the meta device.")
        )  # fmt: skip
    if lacking and missing == "warn":
        kinds = sorted({type(part).__name__ for part in lacking})
        rank_zero_warn(f"{kinds} have no `reset_parameters`: their parameters have no values until a file is loaded.")


def _allocate(root: nn.Module, device: torch.device) -> None:
    def on_device(tensor: Tensor) -> Tensor:
        return torch.empty_like(tensor, device=device) if tensor.is_meta else tensor.to(device)

    if any(hasattr(part, "unshard") for part in root.modules()):
        root._apply(on_device)  # type: ignore[no-untyped-call]  # fully_shard keeps its own books of the parameters, and has its own `_apply`
        return
    made: dict[int, nn.Parameter] = {}
    for part in root.modules():
        for name, parameter in part._parameters.items():
            if parameter is None:
                continue
            if not parameter.is_meta and id(parameter) not in made:
                parameter.data = parameter.data.to(device)
                made[id(parameter)] = parameter
            if id(parameter) not in made:
                made[id(parameter)] = nn.Parameter(on_device(parameter.data), requires_grad=parameter.requires_grad)
            part._parameters[name] = made[id(parameter)]
        for name, buffer in part._buffers.items():
            part._buffers[name] = None if buffer is None else on_device(buffer)


def _fill(
    unit: nn.Module, device: torch.device, fresh: set[int], shared: set[int], put: Callable[[Tensor, Tensor], None]
) -> None:
    """Let `unit` and its parts set whole parameters, inner ones first as when they were built, and keep the shares.

    Of a parameter that several units have, the first one's values stay; the others draw theirs and drop them, as when
    they were built and tied.
    """
    kept = [(part, name, p) for part in unit.modules() for name, p in part._parameters.items() if p is not None]
    whole: dict[int, nn.Parameter] = {}
    try:
        for part, name, parameter in kept:
            if id(parameter) in fresh | shared and id(parameter) not in whole:
                empty = torch.empty(parameter.shape, dtype=parameter.dtype, device=device)
                whole[id(parameter)] = nn.Parameter(empty, requires_grad=parameter.requires_grad)
            part._parameters[name] = whole.get(id(parameter), parameter)
        with torch.no_grad():
            for part in _inner_first(unit):
                reset = _reset_of(part)
                if reset is not None:
                    reset()
    finally:
        for part, name, parameter in kept:
            part._parameters[name] = parameter
    with torch.no_grad():
        for parameter in {id(p): p for _, _, p in kept if id(p) in fresh}.values():
            put(parameter, whole[id(parameter)].data)
            fresh.remove(id(parameter))
            shared.add(id(parameter))


def _inner_first(module: nn.Module) -> Iterator[nn.Module]:
    for child in module.children():
        yield from _inner_first(child)
    yield module
