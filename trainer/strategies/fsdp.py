"""One process per device, each with a share of every parameter: torch's `fully_shard` (FSDP2)."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, FSDPModule, MixedPrecisionPolicy, OffloadPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer
from torch.utils._pytree import tree_map

from trainer.errors import MisconfigurationException, four_parts
from trainer.strategies.ddp import DDP
from trainer.strategies.strategy import StateDictType
from trainer.types import Hook, PlainState, ReduceOp

if TYPE_CHECKING:
    from trainer.module import LightningModule

WrapPolicy: TypeAlias = "set[type[nn.Module]] | Callable[[nn.Module], bool] | None"
_SHARDING = {"FULL_SHARD": True, "SHARD_GRAD_OP": False, "HYBRID_SHARD": True}


class _Root(nn.Module):
    """What `fully_shard` is put on: its forward is a step of the user's module, whose class stays as it is."""

    def __init__(self, module: LightningModule) -> None:
        super().__init__()
        self.module = module

    def forward(self, name: str, *arguments: Any) -> Any:  # whatever the user's step takes and returns
        return getattr(self.module, name)(*arguments)


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
        device_mesh: for "HYBRID_SHARD" the number of copies and of shares, such as (2, 4), or a mesh of two dimensions.
        mixed_precision: torch's MixedPrecisionPolicy; `precision="bf16-mixed"` works without it.
        cpu_offload: keep what no block needs right now in the CPU's memory.
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
        mixed_precision: MixedPrecisionPolicy | None = None,
        cpu_offload: bool = False,
        timeout: timedelta | None = None,
        state_dict_type: StateDictType = "full",
    ) -> None:
        super().__init__(timeout=timeout, state_dict_type=state_dict_type)
        if sharding_strategy not in _SHARDING:
            raise MisconfigurationException(
                four_parts("`sharding_strategy` is unknown.", got=sharding_strategy,
                           expected=f"one of {sorted(_SHARDING)}", remedy="For 'NO_SHARD' use strategy='ddp'.")
            )  # fmt: skip
        if (sharding_strategy == "HYBRID_SHARD") != (device_mesh is not None):
            raise MisconfigurationException(
                four_parts("`device_mesh` and `sharding_strategy` do not fit.", got=(sharding_strategy, device_mesh),
                           expected="a mesh with 'HYBRID_SHARD', and only with it",
                           remedy="Pass device_mesh=(copies, shares).")
            )  # fmt: skip
        self.auto_wrap_policy = auto_wrap_policy
        self.sharding_strategy = sharding_strategy
        self.device_mesh = device_mesh
        self.mixed_precision = mixed_precision
        self.cpu_offload = cpu_offload
        self._roots: weakref.WeakKeyDictionary[nn.Module, _Root] = weakref.WeakKeyDictionary()

    allows_inference_mode = False  # what is gathered in it could not be trained with afterwards
    averages_at_once = True

    # The model

    def shard(self, module: LightningModule) -> None:
        """Split the module's parameters over the processes; rank zero's values count. A second call does nothing."""
        if module in self._roots:
            return
        self._equalise(module)
        root = _Root(module)
        options: dict[str, Any] = {
            "mesh": self._mesh(),
            "reshard_after_forward": _SHARDING[self.sharding_strategy],
            "mp_policy": self.mixed_precision or MixedPrecisionPolicy(),
            "offload_policy": self._offload(),
        }
        for block in self._blocks(module):
            fully_shard(block, **options)
        fully_shard(root, **options)
        self._roots[module] = root

    def _mesh(self) -> DeviceMesh:
        kind = self.device.type
        if isinstance(self.device_mesh, DeviceMesh):
            return self.device_mesh
        if self.device_mesh is None:
            return init_device_mesh(kind, (self.environment.world_size,), mesh_dim_names=("shard",))
        copies, shares = self.device_mesh
        if copies * shares != self.environment.world_size:
            raise MisconfigurationException(
                four_parts("`device_mesh` does not hold every process.", got=self.device_mesh,
                           expected=f"two numbers whose product is {self.environment.world_size}",
                           remedy="Correct it, or start as many processes.")
            )  # fmt: skip
        return init_device_mesh(kind, (copies, shares), mesh_dim_names=("replicate", "shard"))

    def _offload(self) -> OffloadPolicy:
        return CPUOffloadPolicy(pin_memory=self.device.type == "cuda") if self.cpu_offload else OffloadPolicy()

    def _blocks(self, module: nn.Module) -> Iterable[nn.Module]:
        """Return the modules to gather together, inner ones first; one whose parameters others share is left out."""
        policy = self.auto_wrap_policy
        if policy is None:
            chosen = list(_usual_blocks(module))
        elif callable(policy) and not isinstance(policy, set):
            chosen = [part for part in module.modules() if part is not module and policy(part)]
        else:
            chosen = [part for part in module.modules() if part is not module and type(part) in policy]
        owners: dict[int, list[nn.Module]] = {}
        for part in module.modules():
            for parameter in part.parameters(recurse=False):
                owners.setdefault(id(parameter), []).append(part)
        shared = {parameter for parameter, parts in owners.items() if len(parts) > 1}
        fit = [
            part
            for part in chosen
            if any(True for _ in part.parameters()) and not shared & {id(p) for p in part.parameters()}
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
        parts: list[FSDPModule] = [*inner, cast("FSDPModule", root)]
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
                part.set_reshard_after_forward(_SHARDING[self.sharding_strategy], recurse=False)

    def wrap(self, module: LightningModule) -> Hook:
        """Return the training step."""
        return self.step(module, "training_step")

    def wrap_module(self, module: nn.Module) -> nn.Module:
        """Refuse Fabric's modules.

        Raises:
            MisconfigurationException: always.
        """
        raise MisconfigurationException(
            four_parts("Fabric does not shard modules yet.", got="strategy='fsdp'", expected="'ddp' or one device",
                       remedy="Call torch's `fully_shard` on the module yourself, or use the Trainer.")
        )  # fmt: skip

    def no_sync(self, wrapped: nn.Module) -> AbstractContextManager[object]:
        """Return nothing to hold on to: gradients are exchanged after every pass."""
        return nullcontext()

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
        split = {k: self.split_like(v, own[k]) if k in own and isinstance(v, Tensor) else v for k, v in state.items()}
        module.load_state_dict(split, strict=strict)


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
