"""Number formats that users write or adapt themselves: what happens around forward, backward and the update."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from trainer.data.transfer import map_tensors
from trainer.loops.hooks import bind
from trainer.precision import default_dtype
from trainer.types import PlainState

if TYPE_CHECKING:
    from trainer.module import LightningModule


class Precision:
    """One number format; subclasses change the parts they need. As it is, it does nothing special.

    Attributes:
        precision: its name.
    """

    precision: str = "32-true"

    # Models and data

    def convert_module(self, module: nn.Module) -> nn.Module:
        """Return the module with its parameters in this format; called once, before it is moved to its device."""
        return module

    def convert_input(self, data: Any) -> Any:
        """Return a batch in this format; called before it is moved to its device."""
        return data

    def convert_output(self, data: Any) -> Any:
        """Return what a forward pass of Fabric gave, in the format that the user expects."""
        return data

    # Contexts

    def forward_context(self) -> AbstractContextManager[Any]:
        """Return the context of every step."""
        return nullcontext()

    def tensor_init_context(self) -> AbstractContextManager[Any]:
        """Return the context in which tensors are made."""
        return nullcontext()

    def module_init_context(self) -> AbstractContextManager[Any]:
        """Return the context in which modules are made."""
        return nullcontext()

    def train_step_context(self) -> AbstractContextManager[Any]:
        """Return the context of a training step."""
        return self.forward_context()

    def val_step_context(self) -> AbstractContextManager[Any]:
        """Return the context of a validation step."""
        return self.forward_context()

    def test_step_context(self) -> AbstractContextManager[Any]:
        """Return the context of a test step."""
        return self.forward_context()

    def predict_step_context(self) -> AbstractContextManager[Any]:
        """Return the context of a prediction step."""
        return self.forward_context()

    # Backward and update

    def pre_backward(self, tensor: Tensor, module: LightningModule) -> Tensor:
        """Return the loss to run backward from, after its hooks."""
        for hook in bind(module.trainer, "on_before_backward"):
            hook(tensor)
        return tensor

    def backward(self, tensor: Tensor, model: LightningModule, optimizer: Any, *args: Any, **kwargs: Any) -> None:
        """Run the backward pass; `optimizer` is None under manual optimisation."""
        model.backward(tensor, *args, **kwargs)

    def post_backward(self, tensor: Tensor, module: LightningModule) -> Tensor:
        """Return the loss without its graph, after the hooks."""
        for hook in bind(module.trainer, "on_after_backward"):
            hook()
        return tensor.detach()

    def optimizer_step(self, optimizer: Any, model: LightningModule, closure: Callable[[], Any], **options: Any) -> Any:
        """Step the optimizer; the closure runs the training step and backward."""
        return optimizer.step(closure=lambda: self._wrap_closure(model, optimizer, closure), **options)

    def _wrap_closure(self, model: LightningModule, optimizer: Any, closure: Callable[[], Any]) -> Any:
        result = closure()
        self._after_closure(model, optimizer)
        return result

    def _after_closure(self, model: LightningModule, optimizer: Any) -> None:
        """Run the hooks before the update, and clip; subclasses with an `optimizer_step` of their own call it."""
        trainer = model.trainer
        for hook in bind(trainer, "on_before_optimizer_step"):
            hook(optimizer)
        if model.automatic_optimization:
            model.configure_gradient_clipping(
                optimizer,
                gradient_clip_val=trainer.gradient_clip_val,
                gradient_clip_algorithm=trainer.gradient_clip_algorithm,
            )

    def main_params(self, optimizer: Optimizer) -> Iterator[Tensor]:
        """Return the parameters whose gradients are clipped."""
        return (parameter for group in optimizer.param_groups for parameter in group["params"])

    def unscale_gradients(self, optimizer: Optimizer) -> None:
        """Bring gradients to their own size, where they were scaled."""

    def clip_gradients(
        self, optimizer: Optimizer, clip_val: float = 0.0, gradient_clip_algorithm: str | None = "norm"
    ) -> None:
        """Clip the gradients of the optimizer's parameters."""
        if clip_val <= 0:
            return
        if gradient_clip_algorithm == "value":
            self.clip_grad_by_value(optimizer, clip_val)
        else:
            self.clip_grad_by_norm(optimizer, clip_val)

    def clip_grad_by_value(self, optimizer: Optimizer, clip_val: float) -> None:
        """Clip each element of the gradients to ±`clip_val`."""
        torch.nn.utils.clip_grad_value_(self.main_params(optimizer), clip_val)

    def clip_grad_by_norm(self, optimizer: Optimizer, clip_val: float) -> None:
        """Clip the gradients to a total norm."""
        torch.nn.utils.clip_grad_norm_(self.main_params(optimizer), clip_val)

    # The run

    def connect(self, model: nn.Module, optimizers: list[Any], lr_schedulers: list[Any]) -> tuple[Any, Any, Any]:
        """Return the three, perhaps replaced."""
        return model, optimizers, lr_schedulers

    def setup(self) -> None:
        """Called when a run begins."""

    def teardown(self) -> None:
        """Called when a run ends."""

    def state_dict(self) -> PlainState:
        """Return what a resumed run needs, as plain data and tensors."""
        return {}

    def load_state_dict(self, state_dict: PlainState) -> None:
        """Continue from what `state_dict` returned."""


class MixedPrecision(Precision):
    """Autocast in the steps; float16 scales the loss.

    Args:
        precision: "16-mixed" or "bf16-mixed".
        device: "cpu" or "cuda".
        scaler: the gradient scaler, for float16; one of torch's defaults where there is none.
    """

    def __init__(
        self,
        precision: Literal["16-mixed", "bf16-mixed"],
        device: str,
        scaler: torch.amp.GradScaler | None = None,
    ) -> None:
        if precision not in ("16-mixed", "bf16-mixed"):
            raise ValueError(
                f"MixedPrecision knows two formats. Got {precision!r}; expected '16-mixed' or 'bf16-mixed'. "
                "Take DoublePrecision, HalfPrecision or the trainer's `precision` for others."
            )
        if scaler is not None and precision == "bf16-mixed":
            raise ValueError(
                "bf16-mixed needs no scaler. Got precision='bf16-mixed' and a scaler; expected one of them. "
                "Leave the scaler out."
            )
        self.precision = precision
        self.device = device
        is_half = precision == "16-mixed"
        self.scaler: Any = torch.amp.GradScaler(device) if is_half and scaler is None else scaler

    def forward_context(self) -> AbstractContextManager[Any]:
        """Return autocast."""
        return torch.autocast(self.device, torch.bfloat16 if self.precision == "bf16-mixed" else torch.float16)

    def pre_backward(self, tensor: Tensor, module: LightningModule) -> Tensor:
        """Return the scaled loss, after its hooks."""
        return super().pre_backward(tensor if self.scaler is None else self.scaler.scale(tensor), module)

    def optimizer_step(self, optimizer: Any, model: LightningModule, closure: Callable[[], Any], **options: Any) -> Any:
        """Step the optimizer, with a scaler only where the gradients are finite."""
        if self.scaler is None:
            return super().optimizer_step(optimizer, model, closure, **options)
        result = closure()
        self.scaler.unscale_(optimizer)
        self._after_closure(model, optimizer)
        self.scaler.step(optimizer, **options)
        self.scaler.update()
        return result

    def unscale_gradients(self, optimizer: Optimizer) -> None:
        """Bring gradients to their own size."""
        if self.scaler is not None:
            self.scaler.unscale_(optimizer)

    def state_dict(self) -> PlainState:
        """Return the scaler's state."""
        return {} if self.scaler is None else self.scaler.state_dict()

    def load_state_dict(self, state_dict: PlainState) -> None:
        """Give the scaler its state back."""
        if self.scaler is not None and state_dict:
            self.scaler.load_state_dict(state_dict)


class _Converted(Precision):
    """Parameters, buffers and floating batches in another dtype."""

    dtype: torch.dtype

    def convert_module(self, module: nn.Module) -> nn.Module:
        """Return the module in the dtype."""
        return module.to(self.dtype)

    def convert_input(self, data: Any) -> Any:
        """Return the batch with its floating tensors in the dtype."""
        return map_tensors(lambda tensor: tensor.to(self.dtype) if tensor.is_floating_point() else tensor, data)

    def forward_context(self) -> AbstractContextManager[Any]:
        """Return a context in which new floating tensors have the dtype."""
        return default_dtype(self.dtype)

    tensor_init_context = module_init_context = forward_context


class DoublePrecision(_Converted):
    """Everything in float64."""

    precision = "64-true"
    dtype = torch.float64


class HalfPrecision(_Converted):
    """Everything in half precision.

    Args:
        precision: "bf16-true" or "16-true".
    """

    def __init__(self, precision: Literal["bf16-true", "16-true"] = "16-true") -> None:
        self.precision = precision
        self.dtype = torch.bfloat16 if precision == "bf16-true" else torch.float16
