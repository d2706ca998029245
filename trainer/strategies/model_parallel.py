"""Layers split over some processes (tensor parallelism), data over others: a mesh of two dimensions."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import (
    CPUOffload,
    FSDPModule,
    FullyShardedDataParallel,
    MixedPrecision,
    MixedPrecisionPolicy,
)
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.parallel import loss_parallel as parallel_loss

from trainer.accelerators import Devices
from trainer.errors import DistributedError, MisconfigurationException, WrongTypeError, four_parts
from trainer.model.deferred import Missing, is_deferred, materialise
from trainer.seed import capture_rng, restore_rng
from trainer.strategies.fsdp import FSDP, Root
from trainer.strategies.local_views import computing, within_computing
from trainer.strategies.plans import LocalParameters, Plan, add_up_gradients, apply_plan, copy_others
from trainer.strategies.policies import WrapPolicy
from trainer.strategies.strategy import DataShare
from trainer.types import Hook, ReduceOp
from trainer.utilities.activation_checkpointing import checkpoint_activations

if TYPE_CHECKING:
    from trainer.module import LightningModule

__all__ = ["LocalParameters", "ModelParallelStrategy", "Plan"]

_OPS = {"sum": dist.ReduceOp.SUM, "min": dist.ReduceOp.MIN, "max": dist.ReduceOp.MAX, "mean": dist.ReduceOp.SUM}
_HINTS = "torch.distributed.tensor._redistribute"


class ModelParallelStrategy(FSDP):
    """Tensor parallelism inside groups of processes, data parallelism between them.

    The layers that `plan` names are split over "tensor_parallel", a dimension of the mesh; everything is then split
    (FSDP2) or copied over "data_parallel", the other one. Without a plan the module's `configure_model` does it with
    `self.device_mesh`, as in Lightning; what it leaves alone is copied, and averaged over the data-parallel processes.
    Losses are those of one process that sees the whole batch.

    Args:
        data_parallel_size: processes that read different data; "auto" is what the other size leaves, by default one
            for each machine.
        tensor_parallel_size: processes that hold one copy of the model together; "auto" likewise, by default those of
            one machine.
        save_distributed_checkpoint: save a checkpoint as a folder that all processes write; else as one file with whole
            tensors.
        process_group_backend: "gloo" or "nccl"; by default what the device needs.
        timeout: how long a process waits for the others before it fails.
        plan: names of modules, `*` for one part of a name, and torch's styles; or a function `(module, mesh) -> plan`.
        data_parallel: "fsdp" splits parameters over the data-parallel processes too, "ddp" copies them.
        loss_parallel: let cross entropy work on logits that are split by class, without gathering them.
        auto_wrap_policy: which modules are gathered together; see FSDP.
        sharding_strategy: "FULL_SHARD" or "SHARD_GRAD_OP"; see FSDP.
        mixed_precision: see FSDP.
        cpu_offload: see FSDP.
        activation_checkpointing_policy: see FSDP.

    Raises:
        MisconfigurationException: a value that cannot be.
    """

    strategy_name = "model_parallel"

    def __init__(
        self,
        data_parallel_size: int | Literal["auto"] = "auto",
        tensor_parallel_size: int | Literal["auto"] = "auto",
        save_distributed_checkpoint: bool = True,
        process_group_backend: str | None = None,
        timeout: timedelta | None = None,
        *,
        plan: Plan | None = None,
        data_parallel: Literal["fsdp", "ddp"] = "fsdp",
        loss_parallel: bool = False,
        auto_wrap_policy: WrapPolicy = None,
        sharding_strategy: Literal["FULL_SHARD", "SHARD_GRAD_OP"] = "FULL_SHARD",
        mixed_precision: MixedPrecisionPolicy | MixedPrecision | None = None,
        cpu_offload: bool | CPUOffload | None = False,
        activation_checkpointing_policy: WrapPolicy = None,
    ) -> None:
        super().__init__(
            auto_wrap_policy=auto_wrap_policy,
            sharding_strategy=sharding_strategy,
            mixed_precision=mixed_precision,
            cpu_offload=cpu_offload,
            activation_checkpointing_policy=activation_checkpointing_policy,
            timeout=timeout,
            state_dict_type="sharded" if save_distributed_checkpoint else "full",
        )
        for name, size in (("data_parallel_size", data_parallel_size), ("tensor_parallel_size", tensor_parallel_size)):
            if size != "auto" and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
                raise MisconfigurationException(
                    four_parts(f"`{name}` is no number of processes.", got=size, expected="at least 1, or 'auto'",
                               remedy="Correct it.")
                )  # fmt: skip
        if data_parallel not in ("fsdp", "ddp"):
            raise MisconfigurationException(
                four_parts("`data_parallel` is unknown.", got=data_parallel, expected="'fsdp' or 'ddp'",
                           remedy="Correct it.")
            )  # fmt: skip
        self._sizes = (data_parallel_size, tensor_parallel_size)
        self.save_distributed_checkpoint = save_distributed_checkpoint
        self.process_group_backend = process_group_backend
        self.plan = plan
        self.data_parallel = data_parallel
        self.loss_parallel = loss_parallel
        self._places: DeviceMesh | None = None
        self._held = ExitStack()

    # The mesh

    @property
    def device_mesh(self) -> DeviceMesh:
        """Return the mesh with the dimensions "data_parallel" and "tensor_parallel".

        Raises:
            RuntimeError: the processes do not know each other yet.
        """
        if self._places is None:
            raise RuntimeError(
                "The mesh of devices is there once the processes have joined. Read `self.device_mesh` in "
                "`configure_model` or later."
            )
        return self._places["data_parallel", "tensor_parallel"]

    @device_mesh.setter
    def device_mesh(self, given: tuple[int, int] | DeviceMesh | None) -> None:
        pass  # FSDP's own argument; the sizes say it here

    @property
    def data_parallel_size(self) -> int | Literal["auto"]:
        """Return the number of processes that read different data."""
        return self._sizes[0]

    @property
    def tensor_parallel_size(self) -> int | Literal["auto"]:
        """Return the number of processes that hold one copy of the model together."""
        return self._sizes[1]

    def connect(self, devices: Devices, num_nodes: int) -> None:
        """Join the other processes and lay them out as a mesh; random generators continue from rank zero's."""
        super().connect(devices, num_nodes)
        if self._places is None:
            self._places = self._mesh_of(num_nodes)
        # Processes of one tensor-parallel group have to draw the same numbers, and layers built in `configure_model`
        # have to begin with the same values everywhere.
        restore_rng(self.broadcast(capture_rng()))

    def _mesh_of(self, num_nodes: int) -> DeviceMesh:
        data, tensor = (None if size == "auto" else size for size in self._sizes)
        world = self.environment.world_size
        if data is None:
            data = num_nodes if tensor is None else max(1, world // tensor)
        if tensor is None:
            tensor = max(1, world // data)
        if data * tensor != world:
            raise DistributedError(
                f"The sizes data_parallel_size={data} and tensor_parallel_size={tensor} multiply to {data * tensor}. "
                f"Got {world} processes; expected as many as the product. Correct a size, or `devices` and `num_nodes`."
            )
        self._sizes = (data, tensor)
        shape: tuple[int, ...] = (data, tensor)
        names: tuple[str, ...] = ("data_parallel", "tensor_parallel")
        if self.data_parallel == "ddp":
            # FSDP2 that splits each parameter into one part averages gradients and no more.
            shape, names = (data, 1, tensor), ("data_parallel", "whole", "tensor_parallel")
        mesh = self._mesh_of_processes(shape, names)
        logging.getLogger(_HINTS).addFilter(_is_no_hint)
        return mesh

    def _mesh(self) -> DeviceMesh:
        places = self._known_places()
        return places["data_parallel", "whole"] if self.data_parallel == "ddp" else places["data_parallel"]

    def _known_places(self) -> DeviceMesh:
        assert self._places is not None
        return self._places

    @property
    def data_share(self) -> DataShare:
        """Return the share of the data of this process's tensor-parallel group."""
        rank, size = self.environment.rank, self._tensor_size
        return DataShare(rank // size, self.environment.world_size // size)

    @property
    def speakers(self) -> Sequence[int]:
        """Return the first rank of each tensor-parallel group."""
        return range(0, self.environment.world_size, self._tensor_size)

    @property
    def _tensor_size(self) -> int:
        return 1 if self._places is None else int(self._sizes[1])

    @property
    def data_group(self) -> dist.ProcessGroup:
        """Return the processes that hold the same part of the model and read different data."""
        return self._known_places()["data_parallel"].get_group()

    # The model

    def configure(self, module: LightningModule) -> None:
        """Let the module build and split its layers; what is there already gets rank zero's values first."""
        if module not in self._roots:
            self._equalise(module)
        module.configure_model()

    def shard(self, module: LightningModule) -> None:
        """Apply the plan, or take the module as `configure_model` left it, and split the rest of it.

        Raises:
            WrongTypeError: there is neither a plan nor a `configure_model`, or torch's first FSDP was used in it.
        """
        if module not in self._roots:
            from trainer.loops.hooks import is_overridden  # late: it imports this package
            from trainer.module import LightningModule

            if self.plan is None and not is_overridden("configure_model", module, LightningModule):
                raise WrongTypeError(
                    four_parts("Nothing says how the model is split.",
                               got=f"no plan, and {type(module).__name__} does not override `configure_model`",
                               expected="one of them; you are required to override the `configure_model()` hook where "
                               "there is no plan", remedy="Pass ModelParallelStrategy(plan=...).")
                )  # fmt: skip
        super().shard(module)
        self._begin()

    def _begin(self) -> None:
        if self.loss_parallel:
            self._held.close()
            self._held.enter_context(parallel_loss())

    def _split(self, root: Root, missing: Missing) -> None:
        module = root.module
        if any(isinstance(part, FullyShardedDataParallel) for part in module.modules()):
            raise WrongTypeError(
                four_parts("The model is wrapped in torch's first FSDP.", got="FullyShardedDataParallel",
                           expected="layers split with `fully_shard`", remedy="Use torch.distributed.fsdp.fully_shard.")
            )  # fmt: skip
        own = any(isinstance(parameter, DTensor) for parameter in module.parameters())
        if own and self.plan is not None:
            raise MisconfigurationException(
                four_parts("The model is split already, and there is a plan too.", got=f"plan={self.plan!r}",
                           expected="a plan, or a `configure_model` that splits", remedy="Remove one of them.")
            )  # fmt: skip
        self._equalise(module)
        places = self._known_places()
        if self._checkpointed is not None:
            checkpoint_activations(module, self._checkpointed)
        if self.plan is not None:
            apply_plan(module, places["tensor_parallel"], self.plan)
        copy_others(module, places["tensor_parallel"])
        if places["data_parallel"].size() > 1 and not _is_split_whole(module):
            # A split layer that is a block of its own gives a view of a DTensor; torch raises where one is overwritten.
            warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
            self._fully_shard(root, self._mesh())
        if is_deferred(root):
            materialise(root, torch.device("cpu") if self.cpu_offload else self.device, self._put, missing)
        if not any(isinstance(part, FSDPModule) for part in root.modules()):
            add_up_gradients(module)

    @property
    def _reshards(self) -> bool:
        return super()._reshards and self.data_parallel == "fsdp"

    def wrap_module(self, module: nn.Module) -> nn.Module:
        """Split a module for Fabric and return what to call instead of it."""
        called = super().wrap_module(module)
        self._begin()
        forward = called.forward

        def compute(*arguments: Any, **named: Any) -> Any:
            with computing():
                return forward(*arguments, **named)

        called.forward = compute
        return called

    def step(self, module: LightningModule, name: str) -> Hook:
        """Return a step in which plain layers read their parameters as plain tensors."""
        root = self._roots[module]
        if isinstance(root, FSDPModule):
            return within_computing(super().step(module, name))
        return within_computing(getattr(module, name))

    @contextmanager
    def evaluation(self, module: LightningModule, batches: Sequence[float]) -> Iterator[None]:
        """Keep the whole model gathered where the processes run different numbers of batches."""
        if any(isinstance(part, FSDPModule) for part in self._roots[module].modules()):
            with super().evaluation(module, batches):
                yield
        else:
            yield

    # Exchange: every share of the data counts once

    def reduce(self, tensor: Tensor, op: ReduceOp) -> Tensor:
        """Return the tensor combined over the shares of the data; a split one is the same everywhere."""
        if isinstance(tensor, DTensor):
            return tensor.detach().clone()
        combined = tensor.detach().clone()
        dist.all_reduce(combined, op=_OPS[op], group=self.data_group)
        return combined / self.data_share.world_size if op == "mean" else combined

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """Return one tensor for each share of the data."""
        if isinstance(tensor, DTensor):
            tensor = tensor.full_tensor()
        gathered = [torch.empty_like(tensor) for _ in range(self.data_share.world_size)]
        dist.all_gather(gathered, tensor.detach().contiguous(), group=self.data_group)
        return gathered

    def teardown(self) -> None:
        """Let go of what the run held."""
        self._held.close()
        super().teardown()


def _is_split_whole(module: nn.Module) -> bool:
    """Return whether `fully_shard` was put on every part with parameters already."""
    managed = {id(p) for part in module.modules() if isinstance(part, FSDPModule) for p in part.parameters()}
    return all(id(parameter) in managed for parameter in module.parameters())


def _is_no_hint(record: logging.LogRecord) -> bool:
    """Drop what torch says about the layout of a mesh that has to be as it is."""
    return not record.getMessage().startswith("While redistributing from")
