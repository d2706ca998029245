"""One process, one device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from trainer.accelerators import Devices
from trainer.launching.environments import Environment
from trainer.strategies.strategy import StateDictType, Strategy, read_state_dict_type
from trainer.types import Hook, ReduceOp

if TYPE_CHECKING:
    from trainer.module import LightningModule


class SingleDevice(Strategy):
    """Every exchange is the identity.

    Args:
        state_dict_type: "full" saves a checkpoint as one file, "sharded" as a folder.
    """

    def __init__(self, *, state_dict_type: StateDictType = "full") -> None:
        self.saves_sharded = read_state_dict_type(state_dict_type)

    def connect(self, devices: Devices, num_nodes: int) -> None:
        """Take the first device."""
        self.environment = Environment()
        self.device = devices.device(0)

    def wrap(self, module: LightningModule) -> Hook:
        """Return the module's own training step."""
        return module.training_step

    def set_gradient_sync(self, enabled: bool) -> None:
        """Do nothing: there is nobody to exchange gradients with."""

    def average_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Do nothing: the gradients are the average already."""

    def reduce(self, tensor: Tensor, op: ReduceOp) -> Tensor:
        """Return `tensor`."""
        return tensor

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """Return `tensor` alone."""
        return [tensor]

    def gather_bytes(self, payload: bytes) -> list[bytes]:
        """Return `payload` alone."""
        return [payload]

    def teardown(self) -> None:
        """Do nothing."""
