"""Number formats of a run: what is converted, what is autocast, and whether the loss is scaled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from trainer.errors import MisconfigurationException, four_parts

if TYPE_CHECKING:
    from trainer.plugins.precision import Precision as PrecisionPlugin

StepStage: TypeAlias = Literal["train", "validation", "test", "predict"]
_ALIASES = {"32": "32-true", "64": "64-true", "16": "16-mixed", "bf16": "bf16-mixed"}
_REFUSED = {
    "transformer-engine": "Transformer Engine is not driven by this trainer.",
    "transformer-engine-float16": "Transformer Engine is not driven by this trainer.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """One number format.

    Attributes:
        name: as given to the trainer.
        parameters: the dtype that parameters and floating batches are converted to, or None.
        autocast: the dtype of autocast inside the steps, or None.
        scales_loss: gradients need scaling to stay in range.
    """

    name: str
    parameters: torch.dtype | None = None
    autocast: torch.dtype | None = None
    scales_loss: bool = False

    @property
    def plugin(self) -> PrecisionPlugin | None:
        """Return the plugin that the user gave, None for the formats of this file."""
        return None

    def convert_module(self, module: nn.Module) -> None:
        """Convert the floating parameters and buffers of `module`, where this format asks for it."""
        if self.parameters is not None:
            module.to(self.parameters)

    def step_context(
        self, device: torch.device, stage: StepStage = "train"
    ) -> Callable[[], AbstractContextManager[object]] | None:
        """Return what makes the context of one step, or None where a step needs none."""
        if self.autocast is not None:
            dtype = self.autocast
            return lambda: torch.autocast(device.type, dtype=dtype)
        if self.parameters is not None:
            parameters = self.parameters
            return lambda: default_dtype(parameters)
        return None

    def make_scaler(self, device: torch.device) -> torch.amp.GradScaler | None:
        """Return a gradient scaler where this format needs one."""
        return torch.amp.GradScaler(device.type) if self.scales_loss else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginFormat(Precision):
    """A number format of the user's own."""

    own: PrecisionPlugin

    @property
    def plugin(self) -> PrecisionPlugin:
        """Return the user's plugin."""
        return self.own

    def convert_module(self, module: nn.Module) -> None:
        """Let the plugin convert the module in place.

        Raises:
            MisconfigurationException: it returned another module.
        """
        if self.own.convert_module(module) is not module:
            raise MisconfigurationException(
                f"{type(self.own).__name__}.convert_module returned another module. Got a new object; expected "
                "the module itself, converted in place. Replace its layers instead."
            )

    def step_context(self, device: torch.device, stage: StepStage = "train") -> Callable[[], Any]:
        """Return what makes the context of one step."""
        contexts: dict[StepStage, Callable[[], Any]] = {
            "train": self.own.train_step_context,
            "validation": self.own.val_step_context,
            "test": self.own.test_step_context,
            "predict": self.own.predict_step_context,
        }
        return contexts[stage]


_KNOWN = {
    precision.name: precision
    for precision in (
        Precision(name="32-true"),
        Precision(name="64-true", parameters=torch.float64),
        Precision(name="bf16-true", parameters=torch.bfloat16),
        Precision(name="16-true", parameters=torch.float16),
        Precision(name="bf16-mixed", autocast=torch.bfloat16),
        Precision(name="16-mixed", autocast=torch.float16, scales_loss=True),
    )
}


def choose_precision(name: str | int, device_kind: str) -> Precision:
    """Return the number format called `name` on devices of `device_kind`.

    Raises:
        MisconfigurationException: the name is unknown, or the format does not work on these devices.
    """
    text = _ALIASES.get(str(name), str(name))
    if text not in _KNOWN:
        raise MisconfigurationException(
            four_parts(
                "`precision` is not supported.",
                got=name,
                expected=f"one of {sorted(_KNOWN)}",
                remedy=_REFUSED.get(text, "Correct the name."),
            )
        )
    precision = _KNOWN[text]
    if device_kind == "cpu" and precision.name in ("16-mixed", "16-true"):
        raise MisconfigurationException(
            four_parts(
                "float16 has too small a range to train on a CPU.",
                got=name,
                expected="'bf16-mixed', 'bf16-true', '32-true' or '64-true' on a CPU",
                remedy='Pass precision="bf16-mixed".',
            )
        )
    return precision


class NoInitialisation(TorchFunctionMode):
    """Leaves out the functions of `torch.nn.init` inside the block."""

    def __torch_function__(
        self, function: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Return the tensor as it is instead of initialising it."""
        kwargs = kwargs or {}
        if getattr(function, "__module__", None) == "torch.nn.init":
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return function(*args, **kwargs)


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Make floating tensors inside the block of `dtype`."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
