"""What Fabric gives back: a module, an optimizer and a loader that behave as those that were given."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from types import MethodType
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from trainer.data.transfer import map_tensors, move_to_device

if TYPE_CHECKING:
    from trainer.precision import Precision
    from trainer.strategies import Strategy

_STEPS = frozenset({"training_step", "validation_step", "test_step", "predict_step"})
_OWN = frozenset(
    {"_forward_module", "_original_module", "_precision", "_context", "_dtype", "_device", "_forward_methods"}
)


class _FabricModule(nn.Module):
    """The user's module: its forward runs in the precision and through the strategy, all else is the module's own."""

    in_backward: ClassVar[bool] = False

    def __init__(
        self, forward_module: nn.Module, precision: Precision, device: torch.device, original_module: nn.Module
    ) -> None:
        super().__init__()
        self._forward_module = forward_module
        self._original_module = original_module
        self._precision = precision
        self._context = precision.step_context(device)
        self._dtype = precision.parameters
        self._device = device
        self._forward_methods: set[str] = set(_STEPS)

    @property
    def module(self) -> nn.Module:
        """Return the user's own module."""
        return self._original_module

    @property
    def device(self) -> torch.device:
        """Return where the parameters are."""
        first = next(self._original_module.parameters(), None)
        return self._device if first is None else first.device

    @property
    def dtype(self) -> torch.dtype:
        """Return the type of the floating parameters."""
        types = (p.dtype for p in self._original_module.parameters() if p.is_floating_point())
        return next(types, torch.get_default_dtype())

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Run the user's forward on inputs of the precision's type; floating outputs have the default type."""
        if self._context is None and self._dtype is None:
            return self._forward_module(*args, **kwargs)
        if self._dtype is not None:
            args, kwargs = map_tensors(self._narrowed, (args, kwargs))
        if self._context is None:
            output = self._forward_module(*args, **kwargs)
        else:
            with self._context():
                output = self._forward_module(*args, **kwargs)
        output = map_tensors(_widened, output)
        return map_tensors(self._watched, output) if self._precision.scales_loss else output

    def _narrowed(self, tensor: Tensor) -> Tensor:
        return tensor.to(self._dtype) if tensor.is_floating_point() else tensor

    def _watched(self, tensor: Tensor) -> Tensor:
        if tensor.requires_grad:
            tensor.register_hook(_refuse_plain_backward)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return tensor

    def mark_forward_method(self, method: MethodType | str) -> None:
        """Let a method of the user's module run through the strategy and the precision, as `forward` does.

        Raises:
            TypeError: neither a method nor a name.
            ValueError: it is `forward` itself.
            AttributeError: the module has no such method.
        """
        if not isinstance(method, MethodType | str):
            raise TypeError(f"Expected a method or a string, but got: {type(method).__name__}")
        name = method if isinstance(method, str) else method.__name__
        if name == "forward":
            raise ValueError("You cannot mark the forward method itself as a forward method.")
        if not isinstance(getattr(self._original_module, name, None), MethodType):
            raise AttributeError(
                f"You marked '{name}' as a forward method, but `{type(self._original_module).__name__}.{name}` does "
                "not exist or is not a method."
            )
        self._forward_methods.add(name)

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]  # passed on as it comes
        """Return the state of the user's module, without prefixes of ours."""
        return self._original_module.state_dict(*args, **kwargs)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load a state into the user's module."""
        return self._original_module.load_state_dict(state_dict, strict=strict, assign=assign)

    def __getattr__(self, name: str) -> Any:
        members = self.__dict__
        if name in members.get("_forward_methods", ()) and self._is_special():
            return self._through_forward(name)
        try:
            return super().__getattr__(name)
        except AttributeError:
            found = getattr(super().__getattr__("_original_module"), name)
        if inspect.ismethod(found) and self._is_special():
            return self._guarded(found, name)
        return found

    def __setattr__(self, name: str, value: Any) -> None:
        modules = self.__dict__.get("_modules", {})
        if "_original_module" not in modules or name in _OWN:
            super().__setattr__(name, value)
        elif name in self.__dict__ or name in modules or hasattr(type(self), name):
            if hasattr(self._original_module, name):
                setattr(self._original_module, name, value)
            super().__setattr__(name, value)
        else:
            setattr(self._original_module, name, value)

    def _is_special(self) -> bool:
        """Return whether a method of the user's module would get round the strategy or the precision."""
        modules = self.__dict__["_modules"]
        is_wrapped = modules["_forward_module"] is not modules["_original_module"]
        return is_wrapped or self._context is not None or self._dtype is not None

    def _through_forward(self, name: str) -> Callable[..., Any]:
        """Return the method `name` called through `forward`: what wraps the module sees one forward pass."""
        original = self._original_module

        def call(*args: Any, **kwargs: Any) -> Any:
            had = "forward" in original.__dict__
            before = original.forward

            def redirected(*inner: Any, **named: Any) -> Any:
                restore()  # the method may call the real forward
                return getattr(original, name)(*inner, **named)

            def restore() -> None:
                if had:
                    original.__dict__["forward"] = before
                else:
                    original.__dict__.pop("forward", None)

            original.__dict__["forward"] = redirected
            try:
                return self(*args, **kwargs)
            finally:
                restore()

        return call

    def _guarded(self, method: Callable[..., Any], name: str) -> Callable[..., Any]:
        """Return `method`, refusing what would run layers past the strategy."""
        if self._modules["_forward_module"] is self._modules["_original_module"]:
            return method

        @functools.wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            ran: list[bool] = []
            handles = [m.register_forward_hook(lambda *_: ran.append(True)) for m in self._original_module.modules()]
            try:
                output = method(*args, **kwargs)
            finally:
                for handle in handles:
                    handle.remove()
            if ran:
                raise RuntimeError(
                    f"You are calling the method `{type(self._original_module).__name__}.{name}()` from outside the "
                    "model, past the strategy. Mark it after `fabric.setup()` with "
                    f"`model.mark_forward_method({name!r})`."
                )
            return output

        return call


class _FabricOptimizer:
    """The user's optimizer: its step goes through the precision; all else is the optimizer's own."""

    def __init__(self, optimizer: Optimizer, strategy: Strategy, scaler: Any = None, callbacks: Any = None) -> None:
        self._optimizer = optimizer
        self._strategy = strategy
        self._scaler = scaler
        self._callbacks: list[Any] = [] if callbacks is None else callbacks
        # Schedulers and others ask whether it is an Optimizer, or one of the user's class.
        self.__class__ = type(f"Fabric{type(optimizer).__name__}", (type(self), type(optimizer)), {})

    @property
    def optimizer(self) -> Optimizer:
        """Return the user's own optimizer."""
        return self._optimizer

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step, unless scaled gradients are not finite."""
        optimizer = self._optimizer
        if self._scaler is not None:
            output = self._scaler.step(optimizer) if closure is None else self._scaler.step(optimizer, closure=closure)
            self._scaler.update()
        else:
            output = optimizer.step() if closure is None else optimizer.step(closure)
        for callback in self._callbacks:
            hook = getattr(callback, "on_after_optimizer_step", None)
            if callable(hook):
                hook(strategy=self._strategy, optimizer=optimizer)
        return output

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset the gradients."""
        self._optimizer.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """Return the optimizer's state."""
        return self._optimizer.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state into the optimizer."""
        self._optimizer.load_state_dict(state_dict)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Give the optimizer further parameters."""
        self._optimizer.add_param_group(param_group)

    def __repr__(self) -> str:
        return repr(self._optimizer)

    def __getattr__(self, name: str) -> Any:
        if name == "_optimizer":  # while being unpickled
            raise AttributeError(name)
        return getattr(self._optimizer, name)


class _FabricDataLoader:
    """The user's loader, or this process's part of it, with batches on the device."""

    def __init__(self, dataloader: DataLoader[Any], device: torch.device | None = None) -> None:
        self._dataloader = dataloader
        self._device = device
        self._num_iter_calls = 0

    @property
    def device(self) -> torch.device | None:
        """Return where batches are brought, None where they stay."""
        return self._device

    def __len__(self) -> int:
        return len(self._dataloader)

    def __iter__(self) -> Iterator[Any]:
        # A distributed sampler of the user's draws the same order until it is told the epoch.
        for sampler in (self._dataloader.sampler, getattr(self._dataloader.batch_sampler, "sampler", None)):
            set_epoch = getattr(sampler, "set_epoch", None)
            if callable(set_epoch):
                set_epoch(self._num_iter_calls)
        self._num_iter_calls += 1
        device = self._device
        if device is None:
            yield from self._dataloader
        else:
            for batch in self._dataloader:
                yield move_to_device(batch, device)

    def __getattr__(self, name: str) -> Any:
        if name == "_dataloader":  # while being unpickled
            raise AttributeError(name)
        return getattr(self._dataloader, name)


def is_wrapped(obj: object) -> bool:
    """Return whether a module, an optimizer or a loader was set up by Fabric."""
    return isinstance(unwrap_compiled(obj), _FabricModule | _FabricOptimizer | _FabricDataLoader)


def unwrap_compiled(obj: Any) -> Any:
    """Return the module inside one that torch.compile made; anything else as it is."""
    inner = getattr(obj, "_orig_mod", None) if isinstance(obj, nn.Module) else None
    return obj if inner is None else inner


def unwrap(obj: Any) -> Any:
    """Return the user's own object behind one of ours, also inside a dict, a list or a tuple."""
    if type(obj) is dict:
        return {name: unwrap(value) for name, value in obj.items()}
    if type(obj) in (list, tuple):
        return type(obj)(unwrap(value) for value in obj)
    found = unwrap_compiled(obj)
    if isinstance(found, _FabricModule):
        return found.module
    if isinstance(found, _FabricOptimizer):
        return found.optimizer
    if isinstance(found, _FabricDataLoader):
        return found._dataloader
    return found if isinstance(found, nn.Module) else obj


def _widened(tensor: Tensor) -> Tensor:
    return tensor.to(torch.get_default_dtype()) if tensor.is_floating_point() else tensor


def _refuse_plain_backward(_: Tensor) -> None:
    if not _FabricModule.in_backward:
        raise RuntimeError("This precision scales the loss: call `fabric.backward(loss)` instead of `loss.backward()`.")
