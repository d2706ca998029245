"""Finding, once before a loop, which hooks were written, and binding them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from trainer.callback import Callback
from trainer.profilers.weave import profiled
from trainer.types import Hook

if TYPE_CHECKING:
    from trainer.trainer import Trainer


def is_overridden(name: str, instance: object, base: type) -> bool:
    """Return whether `instance` brings its own `name`, by its class or by assignment to the instance."""
    own = getattr(instance, name, None)
    if own is None:
        return False
    return getattr(own, "__func__", own) is not getattr(base, name, None)


def callback_hooks(trainer: Trainer, name: str, callbacks: Iterable[Callback] | None = None) -> tuple[Hook, ...]:
    """Return the written `name` hooks of the callbacks, bound to trainer and module, in order."""
    chosen = trainer.callbacks if callbacks is None else callbacks
    return tuple(
        profiled(
            trainer,
            f"[Callback]{callback.state_key}.{name}",
            partial(getattr(callback, name), trainer, trainer.lightning_module),
        )
        for callback in chosen
        if is_overridden(name, callback, Callback)
    )


def module_hooks(trainer: Trainer, name: str) -> tuple[Hook, ...]:
    """Return the module's `name` hook if it was written, as a tuple of none or one."""
    from trainer.module import LightningModule

    module = trainer.lightning_module
    if not is_overridden(name, module, LightningModule):
        return ()
    return (profiled(trainer, f"[LightningModule]{type(module).__name__}.{name}", getattr(module, name)),)


def bind(trainer: Trainer, name: str) -> tuple[Hook, ...]:
    """Return every written `name` hook, callbacks first, then the module."""
    return callback_hooks(trainer, name) + module_hooks(trainer, name)


def call(trainer: Trainer, name: str, *arguments: object) -> None:
    """Call every written `name` hook now; for hooks outside the loops."""
    for hook in bind(trainer, name):
        hook(*arguments)
