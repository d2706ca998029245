"""Where a run computes: its devices, its strategy and its number format; what Trainer and Fabric share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from trainer.accelerators import Accelerator, Devices, choose_devices
from trainer.errors import MisconfigurationException, four_parts
from trainer.launching.environments import Environment, detect_environment, is_launched_by_us
from trainer.precision import PluginFormat, Precision, choose_precision
from trainer.strategies import SingleDevice, Strategy, choose_strategy

if TYPE_CHECKING:
    from trainer.plugins.precision import Precision as PrecisionPlugin


@dataclass(slots=True, kw_only=True)
class Placement:
    """Devices, strategy and number format, chosen from the arguments that Trainer and Fabric have in common.

    Attributes:
        devices: of this machine.
        num_nodes: machines.
        strategy: how the processes work together.
        precision: the number format.
        found: what the environment variables say of this process, before `connect`.
    """

    devices: Devices
    num_nodes: int
    strategy: Strategy
    precision: Precision
    found: Environment = field(default_factory=Environment)
    is_connected: bool = False

    @classmethod
    def chosen(
        cls,
        accelerator: str | Accelerator,
        devices: int | str | list[int],
        num_nodes: int,
        strategy: str | Strategy,
        precision: str | int | None,
        *,
        precision_plugin: PrecisionPlugin | None = None,
    ) -> Placement:
        """Return what the arguments mean here.

        Raises:
            MisconfigurationException: a value cannot work on this machine, or a precision was given twice.
        """
        if precision_plugin is not None and precision is not None:
            raise MisconfigurationException(
                four_parts(
                    "`precision` and a precision plugin were both given.",
                    got=(precision, precision_plugin),
                    expected="one of them",
                    remedy="Leave `precision` out.",
                )
            )
        environment = detect_environment()
        started = environment.created_externally
        there = choose_devices(accelerator, devices, auto_count=environment.local_world_size if started else None)
        processes = there.count * num_nodes
        if processes == 1 and started and is_launched_by_us():
            # A script that ran on several processes of ours may well test on one device afterwards.
            environment = Environment()
        chosen = choose_strategy(strategy, processes=processes, environment=environment)
        chosen.check_devices(there, num_nodes)
        chosen.precision = (
            choose_precision("32-true" if precision is None else precision, there.kind)
            if precision_plugin is None
            else PluginFormat(name=str(precision_plugin.precision), own=precision_plugin)
        )
        return cls(devices=there, num_nodes=num_nodes, strategy=chosen, precision=chosen.precision, found=environment)

    def connect(self) -> None:
        """Join the other processes, starting them where nobody did."""
        self.strategy.connect(self.devices, self.num_nodes)
        self.is_connected = True

    @property
    def is_single(self) -> bool:
        """Return whether no other process can take part."""
        return isinstance(self.strategy, SingleDevice)

    @property
    def spawns(self) -> bool:
        """Return whether processes are to be started for each function: so says the strategy, and nobody did yet."""
        several = self.devices.count * self.num_nodes > 1
        return self.strategy.start_method != "popen" and several and not self.found.created_externally

    @property
    def environment(self) -> Environment:
        """Return this process's place: as connected or, before, as the environment variables say."""
        return self.strategy.environment if self.is_connected else self.found

    @property
    def world_size(self) -> int:
        """Return the number of processes: as connected or, before, as the arguments say."""
        return self.environment.world_size if self.is_connected else self.devices.count * self.num_nodes

    @property
    def device(self) -> torch.device:
        """Return the device of this process."""
        if self.is_connected:
            return self.strategy.device
        return self.devices.device(self.environment.local_rank)
