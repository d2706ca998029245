"""What a model has to bring for a stage, checked before anything is set up."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import nn

from trainer.errors import (
    MisconfigurationException,
    RemovedHookError,
    WrongSignatureError,
    four_parts,
)
from trainer.loops.hooks import is_overridden
from trainer.types import Stage

if TYPE_CHECKING:
    from trainer.module import LightningModule

_NEEDED: dict[Stage, tuple[str, ...]] = {
    "fit": ("training_step", "configure_optimizers"),
    "validate": ("validation_step",),
    "test": ("test_step",),
    "predict": (),
}
_REMOVED: dict[Stage, tuple[str, ...]] = {
    "fit": ("training_epoch_end", "validation_epoch_end"),
    "validate": ("validation_epoch_end",),
    "test": ("test_epoch_end",),
    "predict": (),
}


def check_model(module: LightningModule, stage: Stage) -> None:
    """Refuse a model that cannot run `stage`.

    Raises:
        MisconfigurationException: a step, or `configure_optimizers`, is missing.
        RemovedHookError: the model has a hook of Lightning 1 that nobody would call.
        WrongSignatureError: `training_step` asks for an optimizer's index.
    """
    from trainer.module import LightningModule

    name = type(module).__name__
    for needed in _NEEDED[stage]:
        if not is_overridden(needed, module, LightningModule):
            raise MisconfigurationException(
                f"{name} has no `{needed}`. Got a model without it; expected {' and '.join(_NEEDED[stage])} for "
                f"`{stage}`. Write it."
            )
    has_step = is_overridden("predict_step", module, LightningModule)
    has_forward = module.predict_step is not None and is_overridden("forward", module, nn.Module)
    if stage == "predict" and not has_step and not has_forward:
        raise MisconfigurationException(
            four_parts(f"{name} cannot predict.", got="neither `predict_step` nor `forward`", expected="one of them",
                       remedy="Write it.")
        )  # fmt: skip
    for removed in _REMOVED[stage]:
        if callable(getattr(module, removed, None)):
            raise RemovedHookError(
                four_parts(f"{name} has a hook that Lightning 2 removed and nobody calls.", got=f"`{removed}`",
                           expected=f"`on_{removed.replace('training', 'train')}`",
                           remedy="Keep what the steps return in an attribute and read it there.")
            )  # fmt: skip
    if stage == "fit" and "optimizer_idx" in inspect.signature(module.training_step).parameters:
        raise WrongSignatureError(
            four_parts("`training_step` asks for an optimizer's index.", got="the argument `optimizer_idx`",
                       expected="`batch, batch_idx`",
                       remedy="Set `automatic_optimization = False` and step the optimizers yourself.")
        )  # fmt: skip


def check_loader_index(function: Callable[..., Any], name: str, *, several: bool) -> None:
    """Refuse a step or hook of an evaluation whose arguments do not go with the number of loaders.

    Raises:
        WrongSignatureError: there are several loaders and it takes no `dataloader_idx`, or one and it needs it.
    """
    parameters = inspect.signature(function).parameters
    takes_any = any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters.values())
    index = parameters.get("dataloader_idx")
    if several and index is None and not takes_any:
        raise WrongSignatureError(
            four_parts(f"`{name}` runs with several loaders and does not ask for which.", got=list(parameters),
                       expected="an argument `dataloader_idx`", remedy="Add `dataloader_idx=0`.")
        )  # fmt: skip
    if not several and index is not None and index.default is index.empty:
        raise WrongSignatureError(
            four_parts(f"`{name}` runs with one loader and needs to know which.", got=list(parameters),
                       expected="no `dataloader_idx`, or one with a default", remedy="Write `dataloader_idx=0`.")
        )  # fmt: skip
