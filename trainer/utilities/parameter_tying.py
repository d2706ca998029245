"""Parameters that a module holds under several names."""

from __future__ import annotations

from torch import Tensor, nn


def find_shared_parameters(module: nn.Module) -> list[list[str]]:
    """Return, for each parameter with several names, those names in the order of the module."""
    names: dict[Tensor, list[str]] = {}
    for prefix, part in module.named_modules(remove_duplicate=False):
        for name, parameter in part.named_parameters(recurse=False, remove_duplicate=False):
            names.setdefault(parameter, []).append(f"{prefix}.{name}" if prefix else name)
    return [found for found in names.values() if len(found) > 1]


def set_shared_parameters(module: nn.Module, shared_params: list[list[str]]) -> nn.Module:
    """Let all names of each list hold the parameter of the first; returns the module."""
    for first, *others in shared_params:
        parameter = module.get_parameter(first)
        for name in others:
            owner, _, attribute = name.rpartition(".")
            setattr(module.get_submodule(owner), attribute, parameter)
    return module
