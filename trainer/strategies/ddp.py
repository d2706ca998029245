"""One process per device, each with the whole model, gradients averaged."""

from __future__ import annotations

import atexit
import gc
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._C._distributed_c10d import HashStore, Store, TCPStore  # torch.distributed hides them from type checkers
from torch.nn.parallel import DistributedDataParallel

from trainer.accelerators import Devices
from trainer.errors import DistributedError
from trainer.launching.environments import LAUNCHED_VARIABLE, Environment, check_environment, detect_environment
from trainer.launching.joining import joining, usual_timeout
from trainer.launching.launchers import SubprocessLauncher
from trainer.strategies.strategy import StateDictType, Strategy, read_state_dict_type
from trainer.types import Hook, ReduceOp

if TYPE_CHECKING:
    from trainer.launching.spawning import StartMethod
    from trainer.module import LightningModule

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
        find_unused_parameters: let a step leave parameters out.
        static_graph: promise that every step uses the same parameters in the same order.
        gradient_as_bucket_view: save the memory of one copy of the gradients.
        timeout: how long a process waits for the others before it fails; by default the seconds in the variable
            TRAINER_TIMEOUT_S, or five minutes.
        start_method: how the processes begin: "popen" runs the script again; "spawn", "fork" and "forkserver" start
            each run of a trainer, or a function given to `Fabric.launch`, in processes of torch.multiprocessing.
        state_dict_type: "full" saves a checkpoint as one file, "sharded" as a folder that all processes write.

    Raises:
        ValueError: the start method or `state_dict_type` is unknown, or not available on this system.
    """

    def __init__(
        self,
        *,
        find_unused_parameters: bool = False,
        static_graph: bool = False,
        gradient_as_bucket_view: bool = True,
        timeout: timedelta | None = None,
        start_method: StartMethod = "popen",
        state_dict_type: StateDictType = "full",
    ) -> None:
        if start_method != "popen":
            from trainer.launching.spawning import check_start_method  # late: it imports multiprocessing

            check_start_method(start_method)
        self.saves_sharded = read_state_dict_type(state_dict_type)
        self.start_method = start_method
        self.find_unused_parameters = find_unused_parameters
        self.static_graph = static_graph
        self.gradient_as_bucket_view = gradient_as_bucket_view
        self.timeout = usual_timeout() if timeout is None else timeout
        self.launcher: SubprocessLauncher | None = None
        self._wrapped: DistributedDataParallel | None = None
        self._control: dist.ProcessGroup | None = None

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
            backend = "nccl" if self.device.type == "cuda" else "gloo"
            with joining(environment, backend, self.timeout):
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
            self._equalise(module)
            return module.training_step
        self._wrapped = self._parallel(_StepModule(module))
        return self._wrapped

    def _parallel(self, module: nn.Module) -> DistributedDataParallel:
        return DistributedDataParallel(
            module,
            device_ids=[self.device.index] if self.device.type == "cuda" else None,
            find_unused_parameters=self.find_unused_parameters,
            static_graph=self.static_graph,
            gradient_as_bucket_view=self.gradient_as_bucket_view,
        )

    def wrap_module(self, module: nn.Module) -> nn.Module:
        """Return the module inside DistributedDataParallel; one that learns nothing is made equal and left bare."""
        if any(parameter.requires_grad for parameter in module.parameters()):
            return self._parallel(module)
        self._equalise(module)
        return module

    def no_sync(self, wrapped: nn.Module) -> AbstractContextManager[object]:
        """Return DistributedDataParallel's own context."""
        return wrapped.no_sync() if isinstance(wrapped, DistributedDataParallel) else nullcontext()

    def broadcast(self, obj: Any, src: int = 0) -> Any:
        """Return the object of process `src` on every process, tensors on this process's device."""
        if isinstance(obj, Tensor):
            obj = obj.detach().cpu()
        objects = [obj]
        dist.broadcast_object_list(objects, src=src, group=self._control)
        found = objects[0]
        return found.to(self.device) if isinstance(found, Tensor) else found

    def _equalise(self, module: nn.Module) -> None:
        with torch.no_grad():
            for tensor in [*module.parameters(), *module.buffers()]:
                dist.broadcast(tensor, src=0)

    def set_gradient_sync(self, enabled: bool) -> None:
        """Tell DistributedDataParallel whether the next step exchanges gradients."""
        if self._wrapped is not None:
            self._wrapped.require_backward_grad_sync = enabled

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
        maximum: list[int] = self._control_reduce(
            torch.tensor(list(values), dtype=torch.int64), dist.ReduceOp.MAX
        ).tolist()
        return maximum

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


def leave_group() -> None:
    """Leave the process group, where this process is in one."""
    if dist.is_initialized():
        gc.collect()  # a reducer that outlives its group aborts the interpreter now and then (torch 2.13, Gloo)
        dist.destroy_process_group()
