"""What users of torch's first FSDP, and of Lightning, pass to say how a model is split, in the terms of the second."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.distributed.fsdp import MixedPrecision, MixedPrecisionPolicy
from torch.distributed.fsdp.wrap import ModuleWrapPolicy

from trainer.errors import MisconfigurationException, four_parts
from trainer.precision import Precision

WrapPolicy: TypeAlias = type[nn.Module] | Iterable[type[nn.Module]] | Callable[..., bool] | None
"""Classes of modules, a function of a module, or a policy of torch's first FSDP."""


def read_policy(policy: Any, name: str) -> Callable[[nn.Module], bool] | None:
    """Return whether a module is chosen, as a function of it; None where there is no policy.

    Raises:
        MisconfigurationException: it is nothing of the kind.
    """
    if policy is None:
        return None
    if isinstance(policy, type) and issubclass(policy, nn.Module):
        policy = {policy}
    if isinstance(policy, ModuleWrapPolicy):
        policy = policy._module_classes
    if isinstance(policy, Iterable):
        classes = set(policy)
        if all(isinstance(kind, type) for kind in classes):
            # `fully_shard` and plans change the class of a module to one below it.
            return lambda module: any(_is_named_as(module, kind) for kind in classes)
    elif callable(policy):
        if not _takes_recursion(policy):
            return policy  # type: ignore[no-any-return]  # the user's function
        return lambda module: bool(
            policy(module=module, recurse=False, nonwrapped_numel=sum(p.numel() for p in module.parameters()))
        )
    raise MisconfigurationException(
        four_parts(f"`{name}` is no policy.", got=policy,
                   expected="classes of modules, or a function of a module", remedy="Pass for example {nn.Linear}.")
    )  # fmt: skip


def _is_named_as(module: nn.Module, kind: type) -> bool:
    """Return whether `kind` is the module's own class, seen through classes that were put before it."""
    own = type(module)
    return kind is own or (kind.__name__ == own.__name__.removeprefix("FSDP") and kind in own.__mro__)


def _takes_recursion(policy: Callable[..., bool]) -> bool:
    try:
        return "recurse" in inspect.signature(policy).parameters
    except (TypeError, ValueError):
        return False


def mixed_precision_policy(given: Any, precision: Precision | None) -> MixedPrecisionPolicy:
    """Return the types that parameters are gathered and gradients reduced in.

    Where nothing was given they follow from the trainer's precision: under "bf16-mixed" and "16-mixed" parameters
    travel in the narrow type; gradients are always added up in float32.

    Raises:
        MisconfigurationException: it is no policy.
    """
    if isinstance(given, MixedPrecisionPolicy):
        return given
    if isinstance(given, MixedPrecision):  # the first FSDP's
        return MixedPrecisionPolicy(
            param_dtype=given.param_dtype,
            reduce_dtype=given.reduce_dtype or given.param_dtype,
            cast_forward_inputs=given.cast_forward_inputs and given.param_dtype is not None,
        )
    if given is not None:
        raise MisconfigurationException(
            four_parts("`mixed_precision` is no policy.", got=given,
                       expected="torch.distributed.fsdp.MixedPrecisionPolicy or MixedPrecision",
                       remedy='Or leave it out and pass precision="bf16-mixed" to the trainer.')
        )  # fmt: skip
    if precision is None or precision.plugin is not None:
        return MixedPrecisionPolicy()
    if precision.autocast is not None:
        # Autocast casts what operations take; targets and losses in a step's batch keep their type.
        return MixedPrecisionPolicy(
            param_dtype=precision.autocast, reduce_dtype=torch.float32, cast_forward_inputs=False
        )
    if precision.parameters in (torch.bfloat16, torch.float16):
        return MixedPrecisionPolicy(reduce_dtype=torch.float32)
    return MixedPrecisionPolicy()
