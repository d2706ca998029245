"""Names for the few types that cross the borders of the trainer's files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

from torch import Tensor

Batch: TypeAlias = Any
"""Whatever the user's loader yields; only the user's code knows its shape."""

StepOutput: TypeAlias = Tensor | Mapping[str, Any] | None
"""What a training, validation or test step may return."""

Hook: TypeAlias = Callable[..., Any]
"""A bound hook; each hook has its own arguments, see `trainer.callback`."""

PlainState: TypeAlias = dict[str, Any]
"""State that a checkpoint may hold: plain data and tensors, checked when it is saved."""

Stage: TypeAlias = Literal["fit", "validate", "test", "predict"]
EvalKind: TypeAlias = Literal["validation", "test", "predict"]
"""Stages without training, as the names of their hooks have them."""
ReduceOp: TypeAlias = Literal["mean", "sum", "min", "max"]


@runtime_checkable
class Stateful(Protocol):
    """Anything that can say where it stands and continue from there."""

    def state_dict(self) -> PlainState:
        """Return the state as plain data and tensors."""
        ...

    def load_state_dict(self, state_dict: PlainState) -> object:
        """Continue from a state that `state_dict` returned."""
        ...
