"""The interface of a strategy: eight methods between the loop and the other processes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from trainer.accelerators import Devices
from trainer.errors import MisconfigurationException, four_parts
from trainer.launching.environments import Environment
from trainer.optimization.clipping import clip_gradients
from trainer.types import Hook, PlainState, ReduceOp

if TYPE_CHECKING:
    from trainer.module import LightningModule
    from trainer.precision import Precision
    from trainer.strategies.announcing import Announcements


StateDictType = Literal["full", "sharded"]
"""How a checkpoint is saved: as one file with whole tensors, or as a folder to which each process writes."""


def read_state_dict_type(given: object) -> bool:
    """Return whether checkpoints are folders.

    Raises:
        MisconfigurationException: the value is unknown.
    """
    if given not in ("full", "sharded"):
        raise MisconfigurationException(
            four_parts("`state_dict_type` is unknown.", got=given, expected="'full' or 'sharded'",
                       remedy="'full' saves one file, 'sharded' a folder that all processes write.")
        )  # fmt: skip
    return given == "sharded"


class DataShare(NamedTuple):
    """Which of the equal shares of the data a process reads: all of them, each once, make up the global batch."""

    rank: int
    world_size: int


class Strategy(ABC):
    """How one process of a run places its model and exchanges values with the others.

    Attributes:
        allows_inference_mode: whether evaluation may run in torch's inference mode.
        saves_sharded: whether a checkpoint is a folder to which each process writes what it holds, not one file.
        averages_at_once: whether gradients are averaged after every backward pass, in an open window too.
        defers: whether a model may stay without storage until it is split, so that no process holds the whole.
        weights_follow: whether a checkpoint is loaded into the model of this run; set before `shard`.
        precision: the number format of the run; set by whoever chose the strategy.
        environment: the place of this process; set by `connect`.
        device: where this process computes; set by `connect`.
        start_method: how other processes are started, where they are: "popen" for a script that is run again; any
            other start method of Python's `multiprocessing` for functions that are called in new processes.
    """

    allows_inference_mode: bool = True
    saves_sharded: bool = False
    averages_at_once: bool = False
    defers: bool = False
    weights_follow: bool = False
    precision: Precision | None = None
    start_method: str = "popen"
    environment: Environment = Environment()
    device: torch.device = torch.device("cpu")

    @property
    def is_distributed(self) -> bool:
        """Return whether other processes take part."""
        return self.environment.world_size > 1

    @property
    def data_share(self) -> DataShare:
        """Return this process's share of the data: its own, unless several processes hold one copy of the model."""
        return DataShare(self.environment.rank, self.environment.world_size)

    @property
    def speakers(self) -> Sequence[int]:
        """Return the ranks whose logged values count: one for each share of the data."""
        return range(self.environment.world_size)

    def check_devices(self, devices: Devices, num_nodes: int) -> None:  # noqa: B027 - most run anywhere
        """Refuse devices on which the strategy cannot run; asked before anything is started.

        Raises:
            MisconfigurationException: it cannot.
        """

    @property
    def data_group(self) -> Any:  # torch's ProcessGroup
        """Return the processes that read different data, as torch's group; None for all."""
        return None

    @abstractmethod
    def connect(self, devices: Devices, num_nodes: int) -> None:
        """Find this process's rank and device, starting and joining the other processes where there are any."""

    @abstractmethod
    def wrap(self, module: LightningModule) -> Hook:
        """Return what to call as the training step of `module`, which is on its device already."""

    @abstractmethod
    def set_gradient_sync(self, enabled: bool) -> None:
        """Choose whether the next backward pass exchanges gradients; off inside an accumulation window."""

    @abstractmethod
    def average_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Average the gradients of `parameters` over the processes; for manual optimisation."""

    @abstractmethod
    def reduce(self, tensor: Tensor, op: ReduceOp) -> Tensor:
        """Return `tensor` combined elementwise over the processes, the same on each."""

    @abstractmethod
    def gather(self, tensor: Tensor) -> list[Tensor]:
        """Return the `tensor` of every process that speaks (equal shapes), in order of rank."""

    @abstractmethod
    def gather_bytes(self, payload: bytes) -> list[bytes]:
        """Return every process's payload (any length), in order of rank."""

    @abstractmethod
    def teardown(self) -> None:
        """Free what the run needed; the processes stay connected for the next run."""

    def configure(self, module: LightningModule) -> None:
        """Let the module build its layers."""
        module.configure_model()

    def place(self, module: nn.Module) -> None:
        """Bring the module to this process's device; what was built on the meta device gets its values."""
        from trainer.model.deferred import is_deferred, materialise  # late: few models need it

        if is_deferred(module):
            materialise(module, self.device, missing="allow" if self.weights_follow else "refuse")
        module.to(self.device)

    def shard(self, module: LightningModule) -> None:  # noqa: B027 - most strategies split nothing
        """Split the module over the processes; it is on its device, and optimizers come later."""

    def step(self, module: LightningModule, name: str) -> Hook:
        """Return what to call as a step of evaluation or prediction."""
        step: Hook = getattr(module, name)
        return step

    def copyable(self, module: nn.Module) -> nn.Module:
        """Return something with the module's parameters and buffers that can be copied deeply."""
        return module

    def evaluation(self, module: LightningModule, batches: Sequence[float]) -> AbstractContextManager[object]:
        """Return a context for an evaluation of so many batches of each loader on this process."""
        return nullcontext()

    def clip_gradients(self, optimizer: Optimizer, value: float, algorithm: str) -> None:
        """Clip the gradients of the optimizer's parameters in place, as `trainer.optimization.clipping` does."""
        clip_gradients(optimizer, value, algorithm)

    def whole(self, state: PlainState) -> PlainState:
        """Return a state with whole tensors, as a checkpoint holds it; all processes take part."""
        return state

    def split_like(self, value: Tensor, model: Tensor) -> Tensor:
        """Return a whole tensor in the place and form of `model`."""
        return value.to(model.device)

    def shard_optimizer(self, optimizer: Optimizer) -> None:  # noqa: B027 - most strategies split nothing
        """Split an optimizer's state over the processes; the optimizer stays the same object."""

    def optimizer_state(self, optimizer: Optimizer, *, with_values: bool = True) -> PlainState:
        """Return an optimizer's state for a checkpoint, whole on rank zero; all processes take part.

        Without values, each process has those of its own share; rank zero has the others' tensors on the meta device.
        """
        return optimizer.state_dict()

    def share_of_state(self, optimizer: Optimizer, state: PlainState) -> PlainState:
        """Return what this process needs of an optimizer's whole state."""
        return state

    def load_optimizer(self, optimizer: Optimizer, state: PlainState) -> None:
        """Load a whole state into an optimizer."""
        optimizer.load_state_dict(state)

    def load_module(self, module: nn.Module, state: PlainState, strict: bool) -> None:
        """Load whole weights into a model."""
        module.load_state_dict(state, strict=strict)

    def wrap_module(self, module: nn.Module) -> nn.Module:
        """Return what to call instead of `module`, which is on its device already; for Fabric."""
        return module

    def no_sync(self, wrapped: nn.Module) -> AbstractContextManager[object]:
        """Return a context in which passes through what `wrap_module` returned exchange no gradients."""
        return nullcontext()

    def broadcast(self, obj: Any, src: int = 0) -> Any:  # whatever the user exchanges
        """Return the object of process `src` on every process."""
        return obj

    def explain(self, error: RuntimeError, *, place: str, in_a_hurry: Callable[[], bool]) -> Exception | None:
        """Return a better error for one that an exchange raised, where there is one; every process that fails asks."""
        return None

    def barrier(self) -> None:
        """Wait until every process is here."""
        self.gather_bytes(b"")

    def agree(self, values: Sequence[int]) -> list[int]:
        """Return the elementwise maximum of small integers over the processes."""
        return [int(value) for value in values]

    def announcements(self) -> Announcements | None:
        """Return what tells requests to the other processes during a run of training; None where there are none."""
        return None

    def broadcast_text(self, text: str) -> str:
        """Return rank zero's text on every process."""
        return self.gather_bytes(text.encode())[0].decode()
