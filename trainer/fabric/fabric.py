"""Fabric: a plain torch loop on any device, in any number format, on one process or several.

One class that users know by its methods, longer than other files for their number and their descriptions: most of them
call what is in the files beside this one.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from trainer.data.transfer import move_to_device
from trainer.errors import MisconfigurationException, four_parts
from trainer.fabric.arguments import from_command_line, used_command_line
from trainer.fabric.collectives import apply_to_tensors, gather_tensor, reduce_in_place, to_tensors
from trainer.fabric.files import load_raw_state, load_state, save_state
from trainer.fabric.loaders import set_up_loader
from trainer.fabric.optimizers import follow_parameters
from trainer.fabric.wrappers import _FabricDataLoader, _FabricModule, _FabricOptimizer, unwrap, unwrap_compiled
from trainer.launching.environments import detect_environment
from trainer.launching.placement import Placement
from trainer.model.deferred import is_deferred
from trainer.optimization.clipping import clip_by_norm
from trainer.precision import NoInitialisation, default_dtype
from trainer.seed import seed_everything

if TYPE_CHECKING:
    from trainer.accelerators import Accelerator
    from trainer.loggers import Logger
    from trainer.strategies import Strategy


class Fabric:
    """Sets up models, optimizers and loaders for a loop that the user writes.

    With more than one process, `launch` has to be called first.

    Args:
        accelerator: "cpu", "cuda", "mps", "gpu", "auto", a registered name, or an Accelerator.
        strategy: "auto", "ddp" and its variants, or a Strategy.
        devices: a count, -1, a list of indices, "0,1" or "auto".
        num_nodes: machines of the job.
        precision: as the Trainer takes it; None is "32-true".
        plugins: refused; pass `strategy` and `precision` themselves.
        callbacks: objects whose methods `call` calls.
        loggers: where `log` and `log_dict` write, on rank zero.

    Raises:
        MisconfigurationException: a value, or a combination of values, cannot work.
    """

    def __init__(
        self,
        *,
        accelerator: str | Accelerator = "auto",
        strategy: str | Strategy = "auto",
        devices: int | str | list[int] = "auto",
        num_nodes: int = 1,
        precision: str | int | None = None,
        plugins: object = None,
        callbacks: Any = None,
        loggers: Logger | list[Logger] | None = None,
    ) -> None:
        if plugins not in (None, []):
            raise MisconfigurationException(
                four_parts(
                    "Fabric takes no `plugins`.",
                    got=plugins,
                    expected="None",
                    remedy="Pass `strategy` and `precision` themselves.",
                )
            )
        accelerator = from_command_line("accelerator", accelerator, "auto")
        devices = from_command_line("devices", devices, "auto")
        num_nodes = int(from_command_line("num_nodes", num_nodes, 1))
        strategy = from_command_line("strategy", strategy, "auto")
        precision = from_command_line("precision", precision, None)
        self._placement = Placement.chosen(accelerator, devices, num_nodes, strategy, precision)
        self._callbacks: list[Any] = [] if callbacks is None else _listed(callbacks)
        self._loggers: list[Any] = [] if loggers is None else _listed(loggers)
        self._launched = False
        self._scaler: Any = None  # torch's GradScaler leaves its methods untyped
        started = used_command_line()  # all processes are there already
        if self._placement.is_single or started:
            self._connect()
            self._launched = started
        # A subclass may write its whole loop into `run`: it is launched like a function.
        written = self.run
        self.run = functools.partial(self._connected, written)  # type: ignore[method-assign]

    # Where this process is

    @property
    def accelerator(self) -> Accelerator:
        """Return what knows the kind of device."""
        return self._placement.devices.accelerator

    @property
    def strategy(self) -> Strategy:
        """Return how the processes work together."""
        return self._placement.strategy

    @property
    def device(self) -> torch.device:
        """Return the device of this process."""
        return self._placement.device

    @property
    def global_rank(self) -> int:
        """Return the index of this process among all."""
        return self._placement.environment.rank

    @property
    def local_rank(self) -> int:
        """Return the index of this process on its machine."""
        return self._placement.environment.local_rank

    @property
    def node_rank(self) -> int:
        """Return the index of this machine."""
        return self._placement.environment.node_rank

    @property
    def world_size(self) -> int:
        """Return the number of processes."""
        return self._placement.world_size

    @property
    def is_global_zero(self) -> bool:
        """Return whether this is the first of all processes."""
        return self.global_rank == 0

    @property
    def loggers(self) -> list[Logger]:
        """Return the loggers."""
        return self._loggers

    @property
    def logger(self) -> Logger:
        """Return the first logger; IndexError where there is none."""
        return self._loggers[0]  # type: ignore[no-any-return]  # a list of loggers

    # Starting

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Hold the user's loop in a subclass; calling it starts the other processes first."""

    def launch(self, function: Callable[..., Any] | None = None, *args: Any, **kwargs: Any) -> Any:
        """Start and join the other processes, then return `function(fabric, *args, **kwargs)`.

        Without a function the processes are only joined: the script goes on in each. Calling it again is harmless.
        With a strategy that starts processes for a function (`ddp_spawn` and the like), what it returns on rank zero
        comes back.

        Raises:
            TypeError: `function` cannot be called, takes no argument, or is missing where the strategy needs one.
        """
        if used_command_line():
            raise RuntimeError(
                "This script was started by `python -m trainer.fabric run`, which started its processes too. Got a "
                "call of `launch`; expected none. Remove it, or start the script with `python`."
            )
        if function is None:
            return self._connected(_do_nothing)
        if not callable(function):
            raise TypeError(
                f"`Fabric.launch` takes a function; got {function!r}. Pass the function itself, not what it returns."
            )
        if not inspect.signature(function).parameters:
            raise TypeError(
                f"`Fabric.launch` calls its function with the Fabric object; {function!r} takes no argument. "
                "Give it one."
            )
        return self._connected(function, self, *args, **kwargs)

    def _connect(self) -> None:
        self._placement.connect()
        self._scaler = self._placement.precision.make_scaler(self.device)

    def _connected(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if not self._launched and not self._placement.is_single:
            if self._placement.spawns:
                return self._spawned(function, args, kwargs)
            self._connect()
        self._launched = True
        return function(*args, **kwargs)

    def _spawned(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return what `function` returns on rank zero of processes that are started for it."""
        if function is _do_nothing:
            raise TypeError(
                f"To start processes with start_method={self.strategy.start_method!r}, `.launch()` needs to be called "
                "with a function that contains the code for them. Pass one, or strategy='ddp'."
            )
        from trainer.launching.spawning import run_in_processes  # late: most start none

        parts = {"Fabric": self, "the function": function, "its arguments": (args, kwargs)}
        work = _Launched(self, function, args, kwargs)
        return run_in_processes(work, self._placement.devices.count, self.strategy.start_method, parts)[0]

    def _check_launched(self) -> None:
        if not self._launched and not self._placement.is_single:
            raise RuntimeError(
                "Fabric has not been launched: its processes do not know each other yet. Call `fabric.launch()` "
                "before anything else."
            )

    # Setting up

    def setup(
        self,
        module: nn.Module,
        *optimizers: Optimizer,
        scheduler: Any = None,
        move_to_device: bool = True,
        _reapply_compile: bool = True,
    ) -> Any:
        """Return the module ready for training and, where optimizers are given, a tuple with them behind it.

        Args:
            module: converted to the precision, moved and wrapped; a compiled one stays compiled.
            optimizers: those of its parameters.
            scheduler: returned as it is, behind the optimizers.
            move_to_device: move the module to this process's device.
            _reapply_compile: taken for compatibility; the strategy wraps a compiled module as it is.

        Raises:
            ValueError: the module or an optimizer was set up before.
            RuntimeError: several processes, and `launch` was not called.
        """
        self._check_launched()
        if isinstance(unwrap_compiled(module), _FabricModule):
            raise ValueError("A model should be passed only once to the `setup` method.")
        if any(isinstance(optimizer, _FabricOptimizer) for optimizer in optimizers):
            raise ValueError("An optimizer should be passed only once to the `setup` method.")
        before = list(unwrap_compiled(module).parameters()) if optimizers else []
        wrapped = self._wrapped(module, move=move_to_device)
        if optimizers:
            follow_parameters(optimizers, before, list(unwrap(wrapped).parameters()))
        for optimizer in optimizers:
            self.strategy.shard_optimizer(optimizer)
        ready = [_FabricOptimizer(optimizer, self.strategy, self._scaler, self._callbacks) for optimizer in optimizers]
        if hasattr(unwrap(wrapped), "_fabric_optimizers"):  # a LightningModule
            unwrap(wrapped)._fabric_optimizers = ready
        self.call("on_after_setup", fabric=self, module=wrapped)
        if not ready:
            return wrapped
        return (wrapped, *ready) if scheduler is None else (wrapped, *ready, scheduler)

    def setup_module(
        self, module: nn.Module, move_to_device: bool = True, _reapply_compile: bool = True
    ) -> _FabricModule:
        """Return the module ready for use, without optimizers; arguments and errors as for `setup`."""
        self._check_launched()
        if isinstance(unwrap_compiled(module), _FabricModule):
            raise ValueError("A model should be passed only once to the `setup_module` method.")
        return self._wrapped(module, move=move_to_device)

    def setup_optimizers(self, *optimizers: Optimizer) -> _FabricOptimizer | tuple[_FabricOptimizer, ...]:
        """Return the optimizers ready for use: one alone, or a tuple.

        Raises:
            ValueError: none was given, or one was set up before.
            RuntimeError: parameters have no storage yet, or `launch` was not called.
        """
        self._check_launched()
        if not optimizers:
            raise ValueError("`setup_optimizers` requires at least one optimizer as input.")
        for optimizer in optimizers:
            if isinstance(optimizer, _FabricOptimizer):
                raise ValueError("An optimizer should be passed only once to the `setup_optimizers` method.")
            if any(p.is_meta for group in optimizer.param_groups for p in group["params"]):
                raise RuntimeError(
                    "The optimizer holds parameters on the meta device, which have no values yet. Set the model up "
                    "first, then make the optimizer from its parameters."
                )
        for optimizer in optimizers:
            self.strategy.shard_optimizer(optimizer)
        ready = tuple(_FabricOptimizer(o, self.strategy, self._scaler, self._callbacks) for o in optimizers)
        return ready[0] if len(ready) == 1 else ready

    def setup_dataloaders(
        self, *dataloaders: DataLoader[Any], use_distributed_sampler: bool = True, move_to_device: bool = True
    ) -> Any:
        """Return the loaders ready for use: one alone, or a list.

        Args:
            dataloaders: torch DataLoaders; each process reads its own part, filled up to equal parts.
            use_distributed_sampler: split the indices over the processes; the user's samplers stay.
            move_to_device: bring every batch to this process's device.

        Raises:
            ValueError: none was given, or one was set up before.
            TypeError: one is no DataLoader.
            RuntimeError: several processes, and `launch` was not called.
        """
        self._check_launched()
        if not dataloaders:
            raise ValueError("`setup_dataloaders` requires at least one dataloader as input.")
        for loader in dataloaders:
            if isinstance(loader, _FabricDataLoader):
                raise ValueError("A dataloader should be passed only once to the `setup_dataloaders` method.")
            if not isinstance(loader, DataLoader):
                raise TypeError(
                    f"Only PyTorch DataLoader are currently supported in `setup_dataloaders`; got "
                    f"{type(loader).__name__}."
                )
        device = self.device if move_to_device else None
        ready = [
            _FabricDataLoader(set_up_loader(loader, self.strategy, splits=use_distributed_sampler), device)
            for loader in dataloaders
        ]
        return ready[0] if len(ready) == 1 else ready

    def _wrapped(self, module: nn.Module, *, move: bool) -> _FabricModule:
        original = unwrap_compiled(module)
        self._placement.precision.convert_module(original)
        if move or is_deferred(original):
            _warn_of_several_devices(original)
            self.strategy.place(module)
        forward = module if self._placement.is_single else self.strategy.wrap_module(module)
        if hasattr(original, "_fabric_optimizers"):  # a LightningModule: its `self.log` and so on come here
            original.fabric, original._fabric_optimizers = self, []
        return _FabricModule(forward, self._placement.precision, self.device, original)

    # The step

    def backward(self, tensor: Tensor, *args: Any, model: nn.Module | None = None, **kwargs: Any) -> None:
        """Run the backward pass of a loss, scaled where the precision asks for it.

        Args:
            tensor: the loss.
            args: further arguments of `Tensor.backward`.
            model: taken for compatibility; nothing here needs it.
            kwargs: as `args`.
        """
        if self._scaler is None:
            tensor.backward(*args, **kwargs)  # type: ignore[no-untyped-call]  # torch leaves it untyped
            return
        _FabricModule.in_backward = True
        try:
            self._scaler.scale(tensor).backward(*args, **kwargs)
        finally:
            _FabricModule.in_backward = False

    def clip_gradients(
        self,
        module: nn.Module,
        optimizer: Optimizer | _FabricOptimizer,
        clip_val: float | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        error_if_nonfinite: bool = True,
    ) -> Tensor | None:
        """Clip the gradients of the optimizer's parameters, each to ±`clip_val` or all to a total norm.

        Returns:
            The norm before clipping, a scalar tensor, with `max_norm`; else None.

        Raises:
            ValueError: both or neither of `clip_val` and `max_norm` were given.
            RuntimeError: the norm is no finite number and `error_if_nonfinite`.
        """
        if (clip_val is None) == (max_norm is None):
            raise ValueError(
                "Only one of `clip_val` or `max_norm` can be set, as each names another way of clipping."
                if clip_val is not None
                else "You have to specify either `clip_val` or `max_norm` to do gradient clipping."
            )
        plain = unwrap(optimizer)
        if self._scaler is not None:
            self._scaler.unscale_(plain)
        parameters = [parameter for group in plain.param_groups for parameter in group["params"]]
        if clip_val is not None:
            nn.utils.clip_grad_value_(parameters, clip_val)
            return None
        return clip_by_norm(parameters, float(max_norm or 0.0), norm_type, error_if_nonfinite)

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context of the precision, for operations outside a `forward`."""
        make = self._placement.precision.step_context(self.device)
        return nullcontext() if make is None else make()

    def no_backward_sync(self, module: nn.Module, enabled: bool = True) -> AbstractContextManager[object]:
        """Return a context whose forward and backward passes exchange no gradients; for accumulation.

        Raises:
            TypeError: the module was not set up.
        """
        wrapped = unwrap_compiled(module)
        if not isinstance(wrapped, _FabricModule):
            raise TypeError(
                "You need to set up the model first before you can call `fabric.no_backward_sync()`: "
                "`model = fabric.setup(model, ...)`"
            )
        if self._placement.is_single or not enabled:
            return nullcontext()
        return self.strategy.no_sync(wrapped._forward_module)

    # Placing

    def to_device(self, obj: Any) -> Any:
        """Return a module, a tensor or a collection of tensors on this process's device; a module is moved in place."""
        if isinstance(obj, nn.Module):
            return obj.to(self.device)
        return move_to_device(obj, self.device)

    @contextmanager
    def init_tensor(self) -> Generator[None]:
        """Make new tensors on this process's device, in the precision's type where that is a true one."""
        dtype = self._placement.precision.parameters
        with self.device, nullcontext() if dtype is None else default_dtype(dtype):
            yield

    @contextmanager
    def init_module(self, empty_init: bool | None = None) -> Generator[None]:
        """Make the parameters of new modules as `init_tensor` does, without values where `empty_init`.

        Under a strategy that splits modules, `empty_init` makes them on the meta device: `setup` splits them first and
        gives each part its storage afterwards.
        """
        self._check_launched()
        context: AbstractContextManager[object] = NoInitialisation() if empty_init else nullcontext()
        if empty_init and self.strategy.defers:
            context = torch.device("meta")
        with self.init_tensor(), context:
            yield

    def sharded_model(self) -> AbstractContextManager[object]:
        """Return a context that does nothing; deprecated in favour of `init_module`."""
        warnings.warn("`Fabric.sharded_model()` is deprecated; use `Fabric.init_module()`.", DeprecationWarning, 2)
        self._check_launched()
        return nullcontext()

    # Exchange between processes

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print on the first process of each machine."""
        if self.local_rank == 0:
            print(*args, **kwargs)

    def barrier(self, name: str | None = None) -> None:
        """Wait until every process is here."""
        self._check_launched()
        self.strategy.barrier()

    def broadcast(self, obj: Any, src: int = 0) -> Any:
        """Return the object of process `src` on every process: a tensor, or anything that pickles."""
        self._check_launched()
        return self.strategy.broadcast(obj, src)

    def all_gather(self, data: Any, group: Any = None, sync_grads: bool = False) -> Any:
        """Return every process's tensors, stacked in a new first dimension; one process adds none.

        Args:
            data: numbers and tensors of equal shapes, alone or in collections.
            group: a process group; by default one process for each share of the data.
            sync_grads: let gradients flow back through it.
        """
        self._check_launched()
        tensors = to_tensors(data, self.device)
        if self.world_size == 1:
            return tensors
        group = self.strategy.data_group if group is None else group
        return apply_to_tensors(lambda tensor: gather_tensor(tensor, group, sync_grads), tensors)

    def all_reduce(self, data: Any, group: Any = None, reduce_op: str | Any | None = "mean") -> Any:
        """Return the tensors combined over the processes; tensors are changed in place.

        Args:
            data: numbers and tensors of equal shapes, alone or in collections.
            group: a process group; by default one process for each share of the data.
            reduce_op: "mean", "sum", "min", "max" or an operation of torch.distributed.
        """
        self._check_launched()
        tensors = to_tensors(data, self.device)
        if self.world_size == 1:
            return tensors
        group = self.strategy.data_group if group is None else group
        return apply_to_tensors(lambda tensor: reduce_in_place(tensor, group, reduce_op), tensors)

    @contextmanager
    def rank_zero_first(self, local: bool = False) -> Generator[None]:
        """Let the first process (of each machine where `local`) run the block before the others do.

        Where the first process fails in the block, the others go on into it instead of waiting for ever.
        """
        first = (self.local_rank if local else self.global_rank) == 0
        if not first:
            self.barrier()
        try:
            yield
        finally:
            if first:
                self.barrier()

    # Files

    def save(
        self,
        path: str | Path,
        state: dict[str, Any],
        filter: dict[str, Callable[[str, Any], bool]] | None = None,
    ) -> None:
        """Write a file with the state of what `state` holds; all processes call it, rank zero writes.

        The file appears whole or not at all, and holds plain data and tensors only.

        Args:
            path: the file.
            state: modules, optimizers and others with a `state_dict`, and plain data, each under a name.
            filter: name -> which entries of its state to keep.

        Raises:
            TypeError: `filter` is no dict of functions.
            ValueError: `filter` names something that `state` has not.
            CheckpointError: something is not plain, or the file system refuses.
        """
        save_state(path, unwrap(state), filter, self.strategy)
        self.barrier()

    def load(
        self,
        path: str | Path,
        state: dict[str, Any] | None = None,
        strict: bool = True,
        *,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Read a file into what `state` holds, in place; return what is left of it, or all without a `state`.

        Args:
            path: a file that `save` wrote.
            state: as for `save`; plain data are replaced.
            strict: refuse a file that lacks one of the names, or a module's state that does not fit.
            weights_only: always true here; False is refused.

        Raises:
            KeyError: names are missing in the file and `strict`.
            CheckpointError: the file is missing, damaged, or holds more than plain data.
        """
        plain = None if state is None else unwrap(state)
        rest = load_state(path, plain, self.strategy, strict=strict, weights_only=weights_only)
        self.barrier()
        if state is not None and plain is not None:
            for name, value in plain.items():
                if not isinstance(unwrap_compiled(state[name]), _FabricModule | _FabricOptimizer | _FabricDataLoader):
                    state[name] = value
        return rest

    def load_raw(
        self, path: str | Path, obj: nn.Module | Optimizer, strict: bool = True, *, weights_only: bool | None = None
    ) -> None:
        """Read a file that holds the state of one module or optimizer alone, as torch.save writes it."""
        load_raw_state(path, unwrap(obj), self.strategy, strict=strict, weights_only=weights_only)

    # Callbacks and loggers

    def call(self, hook_name: str, *args: Any, **kwargs: Any) -> None:
        """Call the method `hook_name` of every callback that has it, with the keywords it takes."""
        for callback in self._callbacks:
            method = getattr(callback, hook_name, None)
            if method is None:
                continue
            if not callable(method):
                warnings.warn(
                    f"Skipping the callback `{type(callback).__name__}.{hook_name}` because it is not callable.",
                    stacklevel=2,
                )
                continue
            method(*args, **_taken(method, kwargs))

    def log(self, name: str, value: Any, step: int | None = None) -> None:
        """Pass one value to the loggers."""
        self.log_dict({name: value}, step)

    def log_dict(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Pass values to the loggers, on rank zero; tensors of one element become numbers.

        Raises:
            ValueError: a tensor has several elements.
        """
        plain = {name: _number(name, value) for name, value in metrics.items()}
        if self.is_global_zero:
            for logger in self._loggers:
                logger.log_metrics(plain, step)

    @staticmethod
    def seed_everything(seed: int | None = None, workers: bool | None = None, verbose: bool = True) -> int:
        """Seed everything; unlike the function of this name, workers of loaders too unless told otherwise."""
        return seed_everything(seed, workers=True if workers is None else workers, verbose=verbose)


def _do_nothing() -> None:
    pass


@dataclass(slots=True)
class _Launched:
    """What a process that was started for a function does."""

    fabric: Fabric
    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __call__(self) -> Any:
        self.fabric._placement.found = detect_environment()
        result = self.fabric._connected(self.function, *self.args, **self.kwargs)
        return result if self.fabric.is_global_zero else None


def _listed(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [given]


def _taken(method: Callable[..., Any], keywords: dict[str, Any]) -> dict[str, Any]:
    try:
        parameters = inspect.signature(method).parameters
    except (ValueError, TypeError):
        return keywords
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return keywords
    return {name: value for name, value in keywords.items() if name in parameters}


def _number(name: str, value: Any) -> Any:
    if not isinstance(value, Tensor):
        return value
    if value.numel() != 1:
        raise ValueError(
            f"The metric {name!r} is a tensor of {value.numel()} elements and cannot be a number. Log one element, or "
            "its mean."
        )
    return value.item()


def _warn_of_several_devices(module: nn.Module) -> None:
    places: dict[torch.device, str] = {}
    for name, parameter in module.named_parameters():
        places.setdefault(parameter.device, name)
    if len(places) > 1:
        found = ", ".join(f"{name!r} on {device}" for device, name in places.items())
        warnings.warn(
            f"The model passed to `Fabric.setup()` has parameters on different devices ({found}). They are all moved; "
            "pass move_to_device=False to leave them.",
            stacklevel=4,
        )
