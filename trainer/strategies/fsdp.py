"""One process per device, each with a share of every parameter: torch's `fully_shard` (FSDP2)."""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import (
    CPUOffload,
    CPUOffloadPolicy,
    FSDPModule,
    MixedPrecision,
    MixedPrecisionPolicy,
    OffloadPolicy,
    fully_shard,
)
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer
from torch.utils._pytree import tree_map

from trainer.errors import MisconfigurationException, four_parts
from trainer.model.deferred import Missing, is_deferred, materialise
from trainer.strategies.ddp import DDP
from trainer.strategies.policies import WrapPolicy, mixed_precision_policy, read_policy
from trainer.strategies.strategy import StateDictType
from trainer.types import Hook, PlainState, ReduceOp
from trainer.utilities.activation_checkpointing import checkpoint_activations

if TYPE_CHECKING:
    from trainer.module import LightningModule

_SHARDING = {"FULL_SHARD": True, "SHARD_GRAD_OP": False, "HYBRID_SHARD": True}


class Root(nn.Module):
    """What `fully_shard` is put on: its forward is a method of the user's module, whose class stays as it is."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, name: str, *arguments: Any, **named: Any) -> Any:  # whatever the user's step takes and returns
        """Call the method `name`."""
        return getattr(self.module, name)(*arguments, **named)


class _Called(nn.Module):
    """What Fabric calls in the place of a user's module."""

    def __init__(self, root: Root) -> None:
        super().__init__()
        self.root = root

    def forward(self, *arguments: Any, **named: Any) -> Any:  # whatever the user's module takes and returns
        """Call the user's module."""
        return self.root("__call__", *arguments, **named)


class FSDP(DDP):
    """Fully sharded data parallel training: parameters, gradients and optimizer state are split over the processes.

    Each block is gathered when it computes and let go afterwards. Losses are those of one process that sees the whole
    batch. Checkpoints load under any strategy and number of processes.

    Gradients are exchanged after every backward pass, also inside an accumulation window, so that they stay split.

    Args:
        auto_wrap_policy: which modules are gathered together: their classes, or a function of a module. By default each
            child of the model with parameters, and each element of a ModuleList or Sequential in it.
        sharding_strategy: "FULL_SHARD" lets go of parameters after the forward pass and gathers them again for the
            backward pass; "SHARD_GRAD_OP" keeps them in between; "HYBRID_SHARD" splits inside groups of processes and
            copies between them, see `device_mesh`.
        device_mesh: for "HYBRID_SHARD" the number of copies and of shares, such as (2, 4), or a mesh of two dimensions;
            by default one copy on each machine.
        mixed_precision: torch's MixedPrecisionPolicy, or the first FSDP's MixedPrecision; by default what the trainer's
            `precision` asks for.
        cpu_offload: keep what no block needs right now in the CPU's memory.
        activation_checkpointing_policy: which parts keep only their inputs in training and compute again in the
            backward pass: their classes, or a function of a module.
        activation_checkpointing: classes of such parts; Lightning's older name.
        timeout: how long a process waits for the others before it fails.
        state_dict_type: "full" gathers a checkpoint into one file, "sharded" lets each process write its shards into a
            folder.

    Raises:
        MisconfigurationException: a value that cannot be.
    """

    def __init__(
        self,
        *,
        auto_wrap_policy: WrapPolicy = None,
        sharding_strategy: Literal["FULL_SHARD", "SHARD_GRAD_OP", "HYBRID_SHARD"] = "FULL_SHARD",
        device_mesh: tuple[int, int] | DeviceMesh | None = None,
        mixed_precision: MixedPrecisionPolicy | MixedPrecision | None = None,
        cpu_offload: bool | CPUOffload | None = False,
        activation_checkpointing_policy: WrapPolicy = None,
        activation_checkpointing: type[nn.Module] | list[type[nn.Module]] | None = None,
        timeout: timedelta | None = None,
        state_dict_type: StateDictType = "full",
    ) -> None:
        super().__init__(timeout=timeout, state_dict_type=state_dict_type)
        sharding_strategy = getattr(sharding_strategy, "name", sharding_strategy)  # the first FSDP's enumeration
        if sharding_strategy not in _SHARDING:
            raise MisconfigurationException(
                four_parts("`sharding_strategy` is unknown.", got=sharding_strategy,
                           expected=f"one of {sorted(_SHARDING)}", remedy="For 'NO_SHARD' use strategy='ddp'.")
            )  # fmt: skip
        if device_mesh is not None and sharding_strategy != "HYBRID_SHARD":
            raise MisconfigurationException(
                four_parts("`device_mesh` and `sharding_strategy` do not fit.", got=(sharding_strategy, device_mesh),
                           expected="a mesh with 'HYBRID_SHARD' only",
                           remedy="Pass sharding_strategy='HYBRID_SHARD', or no mesh.")
            )  # fmt: skip
        if activation_checkpointing is not None and activation_checkpointing_policy is not None:
            raise MisconfigurationException(
                four_parts("Two arguments choose the parts to compute again.",
                           got="`activation_checkpointing` and `activation_checkpointing_policy`",
                           expected="one of them", remedy="Keep `activation_checkpointing_policy`.")
            )  # fmt: skip
        mixed_precision_policy(mixed_precision, None)  # refuses what is none
        self._chosen_blocks = read_policy(auto_wrap_policy, "auto_wrap_policy")
        again = activation_checkpointing if activation_checkpointing_policy is None else activation_checkpointing_policy
        self._checkpointed = read_policy(again, "activation_checkpointing_policy")
        self.auto_wrap_policy = auto_wrap_policy
        self.sharding_strategy = sharding_strategy
        self.device_mesh = device_mesh
        self.mixed_precision = mixed_precision
        self.cpu_offload = bool(getattr(cpu_offload, "offload_params", cpu_offload))
        self._roots: weakref.WeakKeyDictionary[nn.Module, Root] = weakref.WeakKeyDictionary()

    allows_inference_mode = False  # what is gathered in it could not be trained with afterwards
    averages_at_once = True
    defers = True

    # The model

    def place(self, module: nn.Module) -> None:
        """Bring the module to this process's device, unless it has no storage yet: it is split first."""
        if not is_deferred(module):
            module.to(self.device)

    def shard(self, module: LightningModule) -> None:
        """Split the module's parameters over the processes; rank zero's values count. A second call does nothing."""
        if module in self._roots:
            return
        self._roots[module] = root = Root(module)
        self._split(root, "refuse" if not self.weights_follow else "allow")

    def _split(self, root: Root, missing: Missing) -> None:
        """Split what `root` holds, and give values to what has none yet."""
        module = root.module
        self._equalise(module)
        if self._checkpointed is not None:
            checkpoint_activations(module, self._checkpointed)
        self._fully_shard(root, self._mesh())
        if is_deferred(root):
            device = torch.device("cpu") if self.cpu_offload else self.device
            materialise(root, device, self._put, missing)

    @property
    def _reshards(self) -> bool:
        """Return whether parameters are let go of between the forward and the backward pass."""
        return _SHARDING[self.sharding_strategy]

    def _fully_shard(self, root: Root, mesh: DeviceMesh) -> None:
        policy = mixed_precision_policy(self.mixed_precision, self.precision)
        options: dict[str, Any] = {
            "mesh": mesh,
            "reshard_after_forward": self._reshards,
            "offload_policy": self._offload(),
        }
        for block in self._blocks(root.module):
            fully_shard(block, mp_policy=_fitting(policy, block), **options)
        fully_shard(root, mp_policy=_fitting(policy, root), **options)

    def _put(self, target: Tensor, value: Tensor) -> None:
        """Write a whole value into a split parameter; rank zero's counts."""
        target.copy_(self.split_like(value, target))

    def _mesh(self) -> DeviceMesh:
        if isinstance(self.device_mesh, DeviceMesh):
            return self.device_mesh
        if self.device_mesh is None:
            if self.sharding_strategy != "HYBRID_SHARD":
                return self._mesh_of_processes((self.environment.world_size,), ("shard",))
            shares = self.environment.local_world_size
            copies = self.environment.world_size // shares
        else:
            copies, shares = self.device_mesh
        if copies * shares != self.environment.world_size:
            raise MisconfigurationException(
                four_parts("`device_mesh` does not hold every process.", got=(copies, shares),
                           expected=f"two numbers whose product is {self.environment.world_size}",
                           remedy="Correct it, or start as many processes.")
            )  # fmt: skip
        return self._mesh_of_processes((copies, shares), ("replicate", "shard"))

    def _offload(self) -> OffloadPolicy:
        return CPUOffloadPolicy(pin_memory=self.device.type == "cuda") if self.cpu_offload else OffloadPolicy()

    def _blocks(self, module: nn.Module) -> Iterable[nn.Module]:
        """Return the modules to gather together, inner ones first; one whose parameters others share is left out."""
        policy = self._chosen_blocks
        if policy is None:
            chosen = list(_usual_blocks(module))
        else:
            chosen = [part for part in module.modules() if part is not module and policy(part)]
        owners: dict[int, list[nn.Module]] = {}
        for part in module.modules():
            for parameter in part.parameters(recurse=False):
                owners.setdefault(id(parameter), []).append(part)
        shared = {parameter for parameter, parts in owners.items() if len(parts) > 1}
        fit = [
            part
            for part in chosen
            if not isinstance(part, FSDPModule)
            and any(True for _ in part.parameters())
            and not shared & {id(p) for p in part.parameters()}
        ]
        return reversed(list(dict.fromkeys(fit)))

    def step(self, module: LightningModule, name: str) -> Hook:
        """Return a step that gathers what it computes with."""
        root = self._roots[module]

        def run(*arguments: Any) -> Any:
            return root(name, *arguments)

        return run

    def copyable(self, module: nn.Module) -> nn.Module:
        """Return modules of the same names that hold the parameters and buffers, and compute nothing."""
        shell = nn.Module()
        for name, parameter in module._parameters.items():
            shell.register_parameter(name, parameter)
        for name, buffer in module._buffers.items():
            shell.register_buffer(name, buffer, persistent=name not in module._non_persistent_buffers_set)
        for name, child in module._modules.items():
            shell.add_module(name, None if child is None else self.copyable(child))
        return shell

    @contextmanager
    def evaluation(self, module: LightningModule, batches: Sequence[float]) -> Iterator[None]:
        """Keep the whole model gathered where the processes run different numbers of batches: nobody gathers alone."""
        numbers = [2**62 if math.isinf(number) else int(number) for number in batches]
        largest = self.agree([*numbers, *(-number for number in numbers)])
        is_even = largest[: len(numbers)] == [-number for number in largest[len(numbers) :]]
        if is_even and 2**62 not in numbers:
            yield
            return
        root = self._roots[module]
        inner = [part for part in root.module.modules() if isinstance(part, FSDPModule)]
        parts = [*inner, cast("FSDPModule", root)] if isinstance(root, FSDPModule) else inner
        with torch.no_grad():
            for part in parts:
                part.unshard()
                part.set_reshard_after_forward(False, recurse=False)
        try:
            yield
        finally:
            for part in parts:
                part.reshard()
            for part in inner:
                part.set_reshard_after_forward(self._reshards, recurse=False)

    def wrap(self, module: LightningModule) -> Hook:
        """Return the training step."""
        return self.step(module, "training_step")

    def wrap_module(self, module: nn.Module) -> nn.Module:
        """Split a module for Fabric and return what to call instead of it."""
        root = Root(module)
        self._split(root, "warn")
        return _Called(root)

    @contextmanager
    def no_sync(self, wrapped: nn.Module) -> Iterator[None]:
        """Let gradients stay whole on each process inside the block; the pass after it exchanges them."""
        parts = [part for part in wrapped.modules() if isinstance(part, FSDPModule)]
        for part in parts:
            part.set_requires_gradient_sync(False, recurse=False)
        try:
            yield
        finally:
            for part in parts:
                part.set_requires_gradient_sync(True, recurse=False)

    def set_gradient_sync(self, enabled: bool) -> None:
        """Do nothing: gradients stay split, in an open window too."""

    def average_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Do nothing: the backward pass has averaged them."""

    def reduce(self, tensor: Tensor, op: ReduceOp) -> Tensor:
        """Return the tensor combined over the processes; a split one is the same everywhere."""
        return tensor.detach().clone() if isinstance(tensor, DTensor) else super().reduce(tensor, op)

    # States

    def whole(self, state: PlainState) -> PlainState:
        """Return a state with every split tensor gathered, on the CPU; all processes take part."""
        return tree_map(lambda v: v.full_tensor().cpu() if isinstance(v, DTensor) else v, state)  # type: ignore[no-any-return]

    def split_like(self, value: Tensor, model: Tensor) -> Tensor:
        """Return a whole tensor split as `model` is."""
        if not isinstance(model, DTensor) or isinstance(value, DTensor):
            return value.to(model.device)
        return distribute_tensor(value.to(model.device, model.dtype), model.device_mesh, model.placements)

    def load_optimizer(self, optimizer: Optimizer, state: PlainState) -> None:
        """Load a whole state into an optimizer of split parameters."""
        optimizer.load_state_dict(state)
        for parameter, held in optimizer.state.items():
            for name, value in held.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape and value.dim():
                    held[name] = self.split_like(value, parameter)

    def load_module(self, module: nn.Module, state: PlainState, strict: bool) -> None:
        """Load whole weights into a model that may be split already."""
        own = module.state_dict()
        # One of another shape is left to torch, which names it.
        fits = {k for k, v in state.items() if isinstance(v, Tensor) and k in own and own[k].shape == v.shape}
        split = {k: self.split_like(v, own[k]) if k in fits else v for k, v in state.items()}
        module.load_state_dict(split, strict=strict)


def _fitting(policy: MixedPrecisionPolicy, block: nn.Module) -> MixedPrecisionPolicy:
    """Return the policy for `block`: none where a BatchNorm in it needs parameters of its statistics' type."""
    own = [part for part in block.modules() if part is block or not isinstance(part, FSDPModule)]
    has_statistics = any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in own)
    return MixedPrecisionPolicy(reduce_dtype=policy.reduce_dtype) if has_statistics else policy


def _usual_blocks(module: nn.Module) -> Iterable[nn.Module]:
    """Yield the children of a model, and the elements of lists in them, outer ones first."""
    for child in module.children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict):
            yield from _usual_blocks(child)  # a list has no forward pass of its own
            continue
        yield child
        for inner in child.modules():
            if inner is not child and isinstance(inner, nn.ModuleList | nn.Sequential):
                yield from inner.children()
