"""One model in stages, each on a process of its own, with batches passing through them in parts."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.optim import LBFGS, Optimizer

from trainer.accelerators import Devices
from trainer.errors import MisconfigurationException, four_parts
from trainer.optimization.clipping import check_clipping
from trainer.strategies.ddp import DDP
from trainer.strategies.pipeline.layers import (
    check_ties,
    find_layers,
    is_elsewhere,
    leave_elsewhere,
    refuse_batch_norm,
    starts_of_stages,
)
from trainer.strategies.pipeline.line import SCHEDULES, ScheduleKind, check_microbatches
from trainer.strategies.pipeline.seat import Seat
from trainer.strategies.pipeline.split import SplitModel
from trainer.strategies.pipeline.states import (
    fitting_optimizer_state,
    fitting_weights,
    own_parts,
    put_together,
)
from trainer.strategies.pipeline.steps import EvaluationStep, TrainingStep
from trainer.strategies.state_parts import gather_parts
from trainer.strategies.strategy import DataShare
from trainer.types import Hook, PlainState

if TYPE_CHECKING:
    from trainer.module import LightningModule

Schedule = Literal["gpipe", "1f1b", "interleaved_1f1b", "looped_bfs"]


class PipelineStrategy(DDP):
    """Pipeline parallel training through torch.distributed.pipelining, with copies of the pipeline for more data.

    A LightningModule stays as it is on one device. Its steps call a sequence of layers, once for each batch: an
    `nn.Sequential` that holds every parameter, or a module (the LightningModule itself, perhaps) with a method
    `pipeline_layers()` that returns the modules which its `forward` calls one after the other. In a pipeline, that call
    is where a step is cut. `training_step` begins on the first stage, with one microbatch; what it calls the layers
    with goes through the stages; and on the last stage `training_step` runs again, to its end, with the call returning
    what came out. So the loss, and what is logged, is computed by the user's own code, and no second way of writing a
    model has to be learned. Steps of evaluation run to their end on every process, with the output for the whole batch.

    Losses are those of one process, as long as the loss of a batch is the mean over its samples. Dropout and other
    random draws of layers differ from those of one process.

    Args:
        schedule: the order of the passes: "gpipe", "1f1b", or, with several stages on each process, "interleaved_1f1b"
            or "looped_bfs".
        microbatches: parts of each process's batch, which have to be equal; by default as many as there are stages.
        split_points: names of the first layer of each stage but the first, such as "net.4"; by default stages have
            about the same number of parameters.
        layers: the name of the sequence, where the model has several.
        stages_per_process: for the last two schedules (default: 2).
        data_parallel_size: copies of the pipeline, each with its share of the data.
        timeout: how long a process waits for the others before it fails.

    Raises:
        MisconfigurationException: a value that cannot be.
    """

    allows_inference_mode = False  # buffers between stages serve evaluations inside a fit too
    averages_at_once = True

    def __init__(
        self,
        *,
        schedule: Schedule = "1f1b",
        microbatches: int | None = None,
        split_points: Sequence[str] | None = None,
        layers: str | None = None,
        stages_per_process: int | None = None,
        data_parallel_size: int = 1,
        timeout: timedelta | None = None,
    ) -> None:
        super().__init__(timeout=timeout)
        if schedule not in SCHEDULES:
            raise MisconfigurationException(
                four_parts("`schedule` is unknown.", got=schedule, expected=f"one of {sorted(SCHEDULES)}",
                           remedy="Correct the name.")
            )  # fmt: skip
        for name, number in (("microbatches", microbatches), ("data_parallel_size", data_parallel_size)):
            if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
                raise MisconfigurationException(
                    four_parts(f"`{name}` makes no sense.", got=number, expected="a whole number of at least 1",
                               remedy="Correct it.")
                )  # fmt: skip
        is_looped = SCHEDULES[schedule].is_looped
        if stages_per_process is not None and (stages_per_process < 1 or is_looped == (stages_per_process == 1)):
            raise MisconfigurationException(
                four_parts("`stages_per_process` does not fit the schedule.", got=(stages_per_process, schedule),
                           expected="2 or more with 'interleaved_1f1b' and 'looped_bfs', 1 with the others",
                           remedy="Correct it, or leave it out.")
            )  # fmt: skip
        if isinstance(split_points, str):
            raise MisconfigurationException(
                four_parts("`split_points` is one name.", got=split_points, expected="a list of names",
                           remedy="Put it into a list.")
            )  # fmt: skip
        self.schedule = schedule
        self.split_points = split_points
        self.layers = layers
        self.stages_per_process = stages_per_process or (2 if is_looped else 1)
        self.data_parallel_size = data_parallel_size
        self.device_mesh: DeviceMesh | None = None
        self._asked_microbatches = microbatches
        self._seat: Seat | None = None
        self._split: SplitModel | None = None  # of the model of the newest run
        self._splits: weakref.WeakKeyDictionary[nn.Module, SplitModel] = weakref.WeakKeyDictionary()
        self._ready: weakref.WeakSet[nn.Module] = weakref.WeakSet()

    # Processes

    def connect(self, devices: Devices, num_nodes: int) -> None:
        """Join the other processes and find this one's stages.

        Raises:
            MisconfigurationException: the processes cannot be arranged, or the schedule cannot take the microbatches.
        """
        processes = devices.count * num_nodes
        copies = self.data_parallel_size
        if processes % copies:
            raise MisconfigurationException(
                four_parts("The processes make no whole number of pipelines.", got=f"{processes} processes",
                           expected=f"a multiple of data_parallel_size={copies}", remedy="Change one of them.")
            )  # fmt: skip
        length = processes // copies
        check_microbatches(self._kind(length), self._microbatches(length), length)
        super().connect(devices, num_nodes)
        if self._seat is None:
            self._seat = self._found_seat()

    def _microbatches(self, length: int) -> int:
        return self._asked_microbatches or length * self.stages_per_process

    def _kind(self, length: int) -> ScheduleKind:
        """Return the schedule: on one process there is nothing to arrange."""
        return SCHEDULES[self.schedule if length > 1 else "gpipe"]

    def _found_seat(self) -> Seat:
        rank, world_size = self.environment.rank, self.environment.world_size
        copies = self.data_parallel_size
        length = world_size // copies
        mesh = self._mesh_of_processes((length, copies), ("pipeline", "data_parallel"))
        self.device_mesh = mesh
        control = None
        for copy in range(copies):
            ranks = [position * copies + copy for position in range(length)]
            group = dist.new_group(ranks, backend="gloo", timeout=self.timeout)
            control = group if rank in ranks else control
        return Seat(
            position=rank // copies,
            length=length,
            copy=rank % copies,
            copies=copies,
            per_process=self.stages_per_process if length > 1 else 1,
            device=self.device,
            line=mesh.get_group("pipeline"),
            peers=mesh.get_group("data_parallel"),
            control=control,
        )

    @property
    def seat(self) -> Seat:
        """Return where this process stands; known once it is connected."""
        if self._seat is None:
            raise RuntimeError("The processes of the pipeline are not connected yet.")
        return self._seat

    @property
    def data_share(self) -> DataShare:
        """Return the share of the data of this process's pipeline."""
        return DataShare(self.environment.rank % self.data_parallel_size, self.data_parallel_size)

    @property
    def speakers(self) -> Sequence[int]:
        """Return the ranks of the last stages, where the steps of training end."""
        world_size = self.environment.world_size
        return range(world_size - self.data_parallel_size, world_size)

    @property
    def data_group(self) -> Any:  # torch's ProcessGroup
        """Return the processes with this one's layers, which read different data."""
        return self.seat.peers

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """Return the tensor of each pipeline, as processes of one have the same."""
        gathered = [torch.empty_like(tensor) for _ in range(self.data_parallel_size)]
        dist.all_gather(gathered, tensor.detach().contiguous(), group=self.data_group)
        return gathered

    # The model

    def place(self, module: nn.Module) -> None:
        """Keep this process's layers of the whole model, and move them to the device."""
        self._split = self._splits.get(module)
        if self._split is None:
            seat = self.seat
            layers = find_layers(module, self.layers)
            starts = starts_of_stages(layers, seat.stages, self.split_points)
            check_ties(layers, starts)
            split = SplitModel(
                layers=layers, starts=starts, seat=seat, microbatches=self._microbatches(seat.length)
            )  # fmt: skip
            leave_elsewhere(layers, split.mine)
            if seat.stages > 1:
                module.__dict__["example_input_array"] = None  # no process could run it, in a summary for example
            self._splits[module] = self._split = split
        super().place(module)

    def shard(self, module: LightningModule) -> None:
        """Make copies of a stage equal, and the generators of a pipeline's processes; the first process's count."""
        if module in self._ready:
            return
        seat, layers = self.seat, self._splits[module].layers
        with torch.no_grad():
            for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
                if layers.holds(name) is None:
                    dist.broadcast(tensor, src=0)
                elif seat.copies > 1 and not is_elsewhere(tensor):
                    dist.broadcast(tensor, src=seat.position * seat.copies, group=seat.peers)
        seat.equal_generators()
        for part in module.modules():
            # An object of torchmetrics adds up over all processes; those of one pipeline have seen the same.
            if hasattr(part, "_defaults") and getattr(part, "process_group", seat.peers) is None:
                part.process_group = seat.peers
        self._ready.add(module)

    def wrap(self, module: LightningModule) -> Hook:
        """Return the training step.

        Raises:
            MisconfigurationException: something about the model or the run does not go through a pipeline.
        """
        split = self._splits[module]
        self._check(module)
        if split.microbatches > 1:
            refuse_batch_norm(module)
        for parameter in module.parameters():
            if is_elsewhere(parameter):
                parameter.grad = None
        return TrainingStep(split, module, self._kind(self.seat.length))

    def _check(self, module: LightningModule) -> None:
        trainer = module.trainer
        problem = None
        if not module.automatic_optimization:
            problem = four_parts(
                "Manual optimisation does not go through a pipeline, whose schedule runs the backward passes.",
                got="automatic_optimization=False", expected="True",
                remedy="Leave the optimizer to the trainer, or use strategy='ddp'.",
            )  # fmt: skip
        elif any(isinstance(optimizer, LBFGS) for optimizer in trainer.optimizers):
            problem = four_parts(
                "An optimizer that looks at all parameters together cannot train a stage, which has its own only.",
                got="LBFGS", expected="an optimizer that treats each parameter by itself", remedy="Use SGD or Adam.",
            )  # fmt: skip
        elif trainer.scaler is not None:
            problem = four_parts(
                "Stages would scale their losses differently.", got=f"precision={trainer.precision_options.name!r}",
                expected="a format without scaling", remedy="Pass precision='bf16-mixed'.",
            )  # fmt: skip
        elif trainer.sources.compiler is not None:
            problem = four_parts(
                "A compiled model cannot be cut into stages.", got="torch.compile(model)",
                expected="the model itself", remedy="Compile its layers.",
            )  # fmt: skip
        if problem is not None:
            raise MisconfigurationException(problem)

    def step(self, module: LightningModule, name: str) -> Hook:
        """Return a step of evaluation."""
        return EvaluationStep(self._splits[module], module, name, self._kind(self.seat.length))

    @contextmanager
    def evaluation(self, module: LightningModule, batches: Sequence[float]) -> Iterator[None]:
        """Give every stage what the last one has in buffers outside the layers, which steps may have changed."""
        split = self._splits[module]
        if self.seat.length > 1:
            for name, buffer in module.named_buffers():
                if split.layers.holds(name) is None:
                    dist.broadcast(buffer, src=self.seat.rank(self.seat.length - 1), group=self.seat.line)
        yield

    def wrap_module(self, module: nn.Module) -> nn.Module:
        """Refuse Fabric's modules.

        Raises:
            MisconfigurationException: always.
        """
        raise MisconfigurationException(
            four_parts("Fabric does not drive pipelines.", got="strategy='pipeline'", expected="'ddp' or one device",
                       remedy="Use the Trainer, or torch.distributed.pipelining itself.")
        )  # fmt: skip

    def no_sync(self, wrapped: nn.Module) -> AbstractContextManager[object]:
        """Return nothing to hold on to."""
        return nullcontext()

    # Gradients

    def set_gradient_sync(self, enabled: bool) -> None:
        """Do nothing: gradients are averaged over the copies after every batch."""

    def average_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Do nothing: the backward pass has averaged them."""

    def clip_gradients(self, optimizer: Optimizer, value: float, algorithm: str) -> None:
        """Clip gradients, by norm together with those of the other stages."""
        if algorithm == "value":
            super().clip_gradients(optimizer, value, algorithm)
            return
        check_clipping(value, algorithm)
        if value == 0:
            return
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        own = torch.nn.utils.get_total_norm([p.grad for p in parameters])
        total = own.to(self.device, torch.float64).square()
        dist.all_reduce(total, group=self.seat.line)
        if parameters:
            norm = total.sqrt().to(parameters[0].grad.dtype)
            torch.nn.utils.clip_grads_with_norm_(parameters, value, norm)

    # States

    def whole(self, state: PlainState) -> PlainState:
        """Return, on rank zero, a state with the parts of all stages; the others return their own."""
        if self.seat.length == 1 or "state_dict" not in state:
            return state
        split = self._split
        if split is None:
            return state
        part = own_parts(state, split.layers, split.mine, is_last=self.seat.is_last)
        copies = self.seat.copies
        others_of_first_pipeline = range(copies, self.seat.length * copies, copies)
        return put_together(state, gather_parts(part, others_of_first_pipeline, self, self._control))

    def split_like(self, value: Tensor, model: Tensor) -> Tensor:
        """Return a whole tensor on the device of `model`, without elements where it is on another process."""
        return torch.empty_like(model) if is_elsewhere(model) else value.to(model.device)

    def load_optimizer(self, optimizer: Optimizer, state: PlainState) -> None:
        """Load this process's part of a whole state into an optimizer."""
        optimizer.load_state_dict(fitting_optimizer_state(optimizer, state))

    def load_module(self, module: nn.Module, state: PlainState, strict: bool) -> None:
        """Load whole weights into a model that may be split already."""
        module.load_state_dict(fitting_weights(module, state), strict=strict)

    def teardown(self) -> None:
        """Forget nothing: the layers stay where they are."""
