"""A whole compiled model given to the trainer: its steps are compiled, its logging is not."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch

from trainer.loops.hooks import is_overridden

if TYPE_CHECKING:
    from trainer.module import LightningModule

_STEPS = ("forward", "training_step", "validation_step", "test_step", "predict_step")
_OUTSIDE = ("log", "log_dict", "print", "optimizers", "lr_schedulers", "manual_backward")


def unwrap_compiled(model: object) -> tuple[object, Any]:
    """Return the model inside what `torch.compile(model)` returned, and what compiles a function in the same way.

    Any other object is returned as it is, with None.
    """
    # A compiled model can only be there where torch's compiler was imported, which takes its time.
    eval_frame = sys.modules.get("torch._dynamo.eval_frame")
    if eval_frame is not None and isinstance(model, eval_frame.OptimizedModule):
        return model._orig_mod, model.dynamo_ctx
    return model, None


@contextlib.contextmanager
def compiled_steps(module: LightningModule, compiler: Any) -> Iterator[None]:
    """Compile the written steps of `module` inside the block; `self.log` and its like run outside the graphs."""
    if compiler is None:
        yield
        return
    from trainer.module import LightningModule

    written = [name for name in _STEPS if name == "forward" or is_overridden(name, module, LightningModule)]
    changed: dict[str, Any] = {name: compiler(getattr(module, name)) for name in written}
    # The trainer's own methods read and change what a graph could not see.
    outside: Any = torch.compiler.disable  # torch leaves it untyped
    changed |= {name: outside(getattr(module, name)) for name in _OUTSIDE}
    before = {name: module.__dict__[name] for name in changed if name in module.__dict__}
    module.__dict__.update(changed)
    try:
        yield
    finally:
        for name in changed:
            del module.__dict__[name]
        module.__dict__.update(before)
