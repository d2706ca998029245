"""The interface of a strategy: eight methods between the loop and the other processes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from trainer.accelerators import Devices
from trainer.environments import Environment
from trainer.types import Hook, ReduceOp

if TYPE_CHECKING:
    from trainer.module import LightningModule


class Strategy(ABC):
    """How one process of a run places its model and exchanges values with the others.

    Attributes:
        environment: the place of this process; set by `connect`.
        device: where this process computes; set by `connect`.
        start_method: how other processes are started, where they are: "popen" for a script that is run again; any
            other start method of Python's `multiprocessing` for functions that are called in new processes.
    """

    start_method: str = "popen"
    environment: Environment = Environment()
    device: torch.device = torch.device("cpu")

    @property
    def is_distributed(self) -> bool:
        """Return whether other processes take part."""
        return self.environment.world_size > 1

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
        """Return every process's `tensor` (equal shapes), in order of rank."""

    @abstractmethod
    def gather_bytes(self, payload: bytes) -> list[bytes]:
        """Return every process's payload (any length), in order of rank."""

    @abstractmethod
    def teardown(self) -> None:
        """Free what the run needed; the processes stay connected for the next run."""

    def wrap_module(self, module: nn.Module) -> nn.Module:
        """Return what to call instead of `module`, which is on its device already; for Fabric."""
        return module

    def no_sync(self, wrapped: nn.Module) -> AbstractContextManager[object]:
        """Return a context in which passes through what `wrap_module` returned exchange no gradients."""
        return nullcontext()

    def broadcast(self, obj: Any, src: int = 0) -> Any:  # whatever the user exchanges
        """Return the object of process `src` on every process."""
        return obj

    def barrier(self) -> None:
        """Wait until every process is here."""
        self.gather_bytes(b"")

    def agree(self, values: Sequence[int]) -> list[int]:
        """Return the elementwise maximum of small integers over the processes."""
        return [int(value) for value in values]

    def broadcast_text(self, text: str) -> str:
        """Return rank zero's text on every process."""
        return self.gather_bytes(text.encode())[0].decode()
