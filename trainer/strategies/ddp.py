"""One process per device, each with the whole model, gradients averaged."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._C._distributed_c10d import HashStore, Store, TCPStore  # torch.distributed hides them from type checkers
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from trainer.accelerators import Devices
from trainer.errors import DistributedError, MisconfigurationException, four_parts
from trainer.launching.environments import LAUNCHED_VARIABLE, Environment, check_environment, detect_environment
from trainer.launching.joining import joining, usual_timeout
from trainer.launching.launchers import SubprocessLauncher
from trainer.strategies.announcing import Announcements
from trainer.strategies.communication import CommHook, Communication
from trainer.strategies.ddp_arguments import check_backend, ddp_options
from trainer.strategies.same_model import check_same_model
from trainer.strategies.shared_page import open_page
from trainer.strategies.strategy import StateDictType, Strategy, read_state_dict_type
from trainer.strategies.zero import ShardedOptimizer
from trainer.types import Hook, PlainState, ReduceOp

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

    from trainer.launching.spawning import StartMethod
    from trainer.module import LightningModule

_TAG = 7_919
"""Of the messages in which processes agree, apart from those of users; announcements have those that follow."""
_OPS = {"sum": dist.ReduceOp.SUM, "min": dist.ReduceOp.MIN, "max": dist.ReduceOp.MAX, "mean": dist.ReduceOp.SUM}


class _StepModule(nn.Module):
    """What DistributedDataParallel wraps: its forward is the training step."""

    def __init__(self, module: LightningModule) -> None:
        super().__init__()
        self.module = module

    def forward(self, *arguments: Any) -> Any:  # whatever the user's step takes and returns
        return self.module.training_step(*arguments)


class DDP(Strategy):
    """Distributed data parallel training through torch's DistributedDataParallel.

    The processes are started by torchrun or, on one machine, by this strategy: the script is run again once per
    further device. Small decisions travel over a Gloo group on the CPU, so that no device is waited for.

    Args:
        zero_stage: 1 splits optimizer states over the processes (ZeRO): each updates its share of the parameters and
            sends it to the others. `configure_optimizers` stays as it is, and so do checkpoints.
        find_unused_parameters: let a step leave parameters out.
        static_graph: promise that every step uses the same parameters in the same order.
        gradient_as_bucket_view: save the memory of one copy of the gradients.
        ddp_comm_hook: how gradients are exchanged, one of torch's `ddp_comm_hooks`; averaged exactly without one.
        ddp_comm_state: what the hook gets, such as a PowerSGDState. It begins anew with every fit.
        ddp_comm_wrapper: put around the hook, such as `fp16_compress_wrapper`.
        model_averaging_period: refused.
        process_group_backend: such as "gloo" or "nccl"; by default what fits the device.
        timeout: how long a process waits for the others before it fails; by default the seconds in the variable
            TRAINER_TIMEOUT_S, or five minutes.
        start_method: how the processes begin: "popen" runs the script again; "spawn", "fork" and "forkserver" start
            each run of a trainer, or a function given to `Fabric.launch`, in processes of torch.multiprocessing.
        state_dict_type: "full" saves a checkpoint as one file, "sharded" as a folder that all processes write.
        kwargs: further arguments of torch's DistributedDataParallel, such as `bucket_cap_mb` or `broadcast_buffers`.

    Raises:
        ValueError: the start method or `state_dict_type` is unknown, or not available on this system.
        TypeError: DistributedDataParallel has no such argument.
        MisconfigurationException: a value that cannot be.
    """

    def __init__(
        self,
        *,
        zero_stage: Literal[0, 1] = 0,
        find_unused_parameters: bool = False,
        static_graph: bool = False,
        gradient_as_bucket_view: bool = True,
        ddp_comm_state: object = None,
        ddp_comm_hook: CommHook | None = None,
        ddp_comm_wrapper: Callable[[CommHook], CommHook] | None = None,
        model_averaging_period: int | None = None,
        process_group_backend: str | None = None,
        timeout: timedelta | None = None,
        start_method: StartMethod = "popen",
        state_dict_type: StateDictType = "full",
        **kwargs: Any,
    ) -> None:
        if start_method != "popen":
            from trainer.launching.spawning import check_start_method  # late: it imports multiprocessing

            check_start_method(start_method)
        self.saves_sharded = read_state_dict_type(state_dict_type)
        if zero_stage not in (0, 1):
            raise MisconfigurationException(
                four_parts("`zero_stage` is unknown.", got=zero_stage, expected="0 or 1",
                           remedy="To split gradients and parameters too (stages 2 and 3), pass strategy='fsdp'.")
            )  # fmt: skip
        self.communication = Communication(hook=ddp_comm_hook, state=ddp_comm_state, wrapper=ddp_comm_wrapper)
        self.communication.check(model_averaging_period)
        self.zero_stage = zero_stage
        self.start_method = start_method
        self.find_unused_parameters = find_unused_parameters
        self.static_graph = static_graph
        self.gradient_as_bucket_view = gradient_as_bucket_view
        self.process_group_backend = process_group_backend
        self.timeout = usual_timeout() if timeout is None else timeout
        self.ddp_options = ddp_options(kwargs)
        self.launcher: SubprocessLauncher | None = None
        self._wrapped: DistributedDataParallel | None = None
        self._control: dist.ProcessGroup | None = None
        self._announcements: list[Announcements] = []

    def check_devices(self, devices: Devices, num_nodes: int) -> None:
        """Refuse a communication hook or a back end that the devices cannot run.

        Raises:
            MisconfigurationException: they cannot.
        """
        self.communication.check_device(devices.kind)
        check_backend(self.process_group_backend, devices.kind)

    def connect(self, devices: Devices, num_nodes: int) -> None:
        """Start the other processes if nobody did, and join them."""
        environment = detect_environment()
        if not environment.created_externally and devices.count * num_nodes > 1:
            if num_nodes > 1:
                raise DistributedError(
                    f"`num_nodes={num_nodes}` needs a program that starts one process per device on every machine. "
                    "Start the script with torchrun or under SLURM with `srun torchrun`."
                )
            self.launcher = SubprocessLauncher.started(devices.count)
            environment = detect_environment()
        check_environment(environment, devices=devices.count, num_nodes=num_nodes)
        self.environment = environment
        self.device = devices.device(environment.local_rank)
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
        self._join(environment)

    def _join(self, environment: Environment) -> None:
        if not dist.is_initialized():
            backend = self.process_group_backend or ("nccl" if self.device.type == "cuda" else "gloo")
            check_backend(backend, self.device.type)
            with joining(environment, self.timeout):
                store = self._store(environment)
                dist.init_process_group(
                    backend,
                    store=store,
                    init_method=None if store is not None else "env://",
                    rank=environment.rank,
                    world_size=environment.world_size,
                    timeout=self.timeout,
                )
            # Left open, the group's threads abort the interpreter when it exits.
            atexit.register(leave_group)
        group = dist.group.WORLD
        is_gloo = dist.get_backend() == "gloo"
        self._control = group if is_gloo else dist.new_group(backend="gloo", timeout=self.timeout)

    def _mesh_of_processes(self, shape: tuple[int, ...], names: tuple[str, ...]) -> DeviceMesh:
        """Return the processes laid out so; its groups wait as long as the others."""
        from torch.distributed.device_mesh import init_device_mesh  # late: it takes a while to import

        mesh = init_device_mesh(self.device.type, shape, mesh_dim_names=names)
        for group in mesh.get_all_groups():
            dist.distributed_c10d._set_pg_timeout(self.timeout, group)
        return mesh

    def _store(self, environment: Environment) -> Store | None:
        if self.launcher is not None:
            return self.launcher.store
        if not environment.created_externally:
            return HashStore()
        if LAUNCHED_VARIABLE in os.environ:
            host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
            return TCPStore(host, port, environment.world_size, is_master=False, timeout=self.timeout)
        return None

    def wrap(self, module: LightningModule) -> Hook:
        """Return the training step inside DistributedDataParallel, or bare under manual optimisation."""
        has_gradients = any(parameter.requires_grad for parameter in module.parameters())
        if not module.automatic_optimization or not has_gradients:
            self.communication.warn_of_manual()
            self._equalise(module)
            return module.training_step
        self._wrapped = self._parallel(_StepModule(module))
        return self._wrapped

    def _parallel(self, module: nn.Module) -> DistributedDataParallel:
        check_same_model(self, module.module if isinstance(module, _StepModule) else module)
        wrapped = DistributedDataParallel(
            module,
            device_ids=[self.device.index] if self.device.type == "cuda" else None,
            find_unused_parameters=self.find_unused_parameters,
            static_graph=self.static_graph,
            gradient_as_bucket_view=self.gradient_as_bucket_view,
            **self.ddp_options,
        )
        self.communication.register(wrapped)
        return wrapped

    def wrap_module(self, module: nn.Module) -> nn.Module:
        """Return the module inside DistributedDataParallel; one that learns nothing is made equal and left bare."""
        if any(parameter.requires_grad for parameter in module.parameters()):
            return self._parallel(module)
        self._equalise(module)
        return module

    def no_sync(self, wrapped: nn.Module) -> AbstractContextManager[object]:
        """Return DistributedDataParallel's own context."""
        return (
            wrapped.no_sync() if isinstance(wrapped, DistributedDataParallel) and _may_wait(wrapped) else nullcontext()
        )

    def broadcast(self, obj: Any, src: int = 0) -> Any:
        """Return the object of process `src` on every process, tensors on this process's device."""
        if isinstance(obj, Tensor):
            obj = obj.detach().cpu()
        objects = [obj]
        dist.broadcast_object_list(objects, src=src, group=self._control)
        found = objects[0]
        return found.to(self.device) if isinstance(found, Tensor) else found

    def shard_optimizer(self, optimizer: Optimizer) -> None:
        """Split an optimizer's state over the processes, where `zero_stage` says so."""
        is_split = ShardedOptimizer.of(optimizer) is not None or _is_zero_redundancy(optimizer)
        if self.zero_stage and self.is_distributed and not is_split:
            ShardedOptimizer(optimizer, self.environment.rank, self.environment.world_size)

    def optimizer_state(self, optimizer: Optimizer, *, with_values: bool = True) -> PlainState:
        """Return an optimizer's state, whole on rank zero where it is split."""
        shares = ShardedOptimizer.of(optimizer)
        if shares is not None:
            return shares.whole_state(self, self._control, with_values=with_values)
        if _is_zero_redundancy(optimizer):
            optimizer.consolidate_state_dict()  # type: ignore[attr-defined]  # torch's ZeroRedundancyOptimizer
            return {} if self.environment.rank else optimizer.state_dict()
        return optimizer.state_dict()

    def share_of_state(self, optimizer: Optimizer, state: PlainState) -> PlainState:
        """Return the share of this process, where the state is split."""
        shares = ShardedOptimizer.of(optimizer)
        return state if shares is None else shares.own_share(optimizer, state)

    def _equalise(self, module: nn.Module) -> None:
        """Give every process rank zero's values, of tensors that have some and are not split."""
        check_same_model(self, module)
        with torch.no_grad():
            for tensor in [*module.parameters(), *module.buffers()]:
                # A DTensor is known by its method, as its class takes a while to import.
                if not tensor.is_meta and not hasattr(tensor, "full_tensor"):
                    dist.broadcast(tensor, src=0)

    def set_gradient_sync(self, enabled: bool) -> None:
        """Tell DistributedDataParallel whether the next step exchanges gradients."""
        if self._wrapped is not None:
            self._wrapped.require_backward_grad_sync = enabled or not _may_wait(self._wrapped)

    def average_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Average what any process has a gradient for; a process without one counts as zero."""
        mine = torch.tensor([parameter.grad is not None for parameter in parameters], dtype=torch.int32)
        anywhere = self._control_reduce(mine, dist.ReduceOp.MAX)
        for parameter, used in zip(parameters, anywhere.tolist(), strict=True):
            if not used:
                continue
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad)
            parameter.grad /= self.environment.world_size

    def reduce(self, tensor: Tensor, op: ReduceOp) -> Tensor:
        """Return the tensor combined over the processes."""
        combined = tensor.detach().clone()
        dist.all_reduce(combined, op=_OPS[op])
        return combined / self.environment.world_size if op == "mean" else combined

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """Return every process's tensor."""
        gathered = [torch.empty_like(tensor) for _ in range(self.environment.world_size)]
        dist.all_gather(gathered, tensor.detach().contiguous())
        return gathered

    def gather_bytes(self, payload: bytes) -> list[bytes]:
        """Return every process's payload, exchanged as padded byte tensors."""
        world_size = self.environment.world_size
        length = torch.tensor([len(payload)])
        lengths = [torch.empty_like(length) for _ in range(world_size)]
        dist.all_gather(lengths, length, group=self._control)
        longest = max(int(one) for one in lengths)
        if longest == 0:
            return [b""] * world_size
        padded = torch.zeros(longest, dtype=torch.uint8)
        if payload:
            padded[: len(payload)] = torch.frombuffer(bytearray(payload), dtype=torch.uint8)
        gathered = [torch.empty_like(padded) for _ in range(world_size)]
        dist.all_gather(gathered, padded, group=self._control)
        return [bytes(data[: int(size)].numpy()) for data, size in zip(gathered, lengths, strict=True)]

    def agree(self, values: Sequence[int]) -> list[int]:
        """Return the elementwise maximum over the processes, through the CPU group."""
        largest: list[int] = self._largest(torch.tensor(list(values), dtype=torch.int64)).tolist()
        return largest

    def announcements(self) -> Announcements:
        """Return what tells requests to the other processes; its messages mix with no earlier one's."""
        page = open_page(self, self.timeout.total_seconds())
        if page is not None:
            return Announcements.through_page(page)
        assert self._control is not None  # connected
        self._announcements.append(Announcements.through_group(self._control, _TAG + 1 + len(self._announcements)))
        return self._announcements[-1]

    def _largest(self, held: Tensor) -> Tensor:
        """Return the elementwise maximum, in pairs: after each round twice as many processes know the same.

        It may happen after every batch. A collective of Gloo passes through a thread of its own; messages do not, which
        costs a third for two processes (110 instead of 340 us of CPU time).
        """
        rank, world_size, group = self.environment.rank, self.environment.world_size, self._control
        if group is None or world_size & (world_size - 1):
            return self._control_reduce(held, dist.ReduceOp.MAX)
        distance = 1
        while distance < world_size:
            other = torch.empty_like(held)
            received = group.recv([other], rank ^ distance, _TAG)
            sent = group.send([held], rank ^ distance, _TAG)
            received.wait()
            sent.wait()
            held = torch.maximum(held, other)
            distance *= 2
        return held

    def _control_reduce(self, tensor: Tensor, op: dist.ReduceOp.RedOpType) -> Tensor:
        dist.all_reduce(tensor, op=op, group=self._control)
        return tensor

    def explain(self, error: RuntimeError, *, place: str, in_a_hurry: Callable[[], bool]) -> Exception | None:
        """Return an error that names the processes which an exchange waited for in vain, where it did."""
        from trainer.strategies.roll_call import explain_late  # late: few runs need it

        own, size = self.environment.rank, self.environment.world_size
        return explain_late(error, rank=own, world_size=size, timeout=self.timeout, place=place, in_a_hurry=in_a_hurry)

    def teardown(self) -> None:
        """Forget the wrapped model; the process group lives until the process ends."""
        self._wrapped = None


def _may_wait(wrapped: DistributedDataParallel) -> bool:
    """Return whether the exchange may wait for a later pass: a static graph is learned in the first, which exchanges.

    What was averaged early is averaged again with the rest, which changes nothing.
    """
    return not wrapped.static_graph or getattr(wrapped, "_static_graph_delay_allreduce_enqueued", True)


def _is_zero_redundancy(optimizer: Optimizer) -> bool:
    """Return whether the user split the optimizer, with torch's ZeroRedundancyOptimizer."""
    module = sys.modules.get("torch.distributed.optim.zero_redundancy_optimizer")  # importing it takes its time
    return module is not None and isinstance(optimizer, module.ZeroRedundancyOptimizer)


def leave_group() -> None:
    """Leave the process group, where this process is in one."""
    if dist.is_initialized():
        gc.collect()  # a reducer that outlives its group aborts the interpreter now and then (torch 2.13, Gloo)
        dist.destroy_process_group()
