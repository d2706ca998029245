"""The interface of an accelerator: one kind of device."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from trainer.configuration.registry import Registry
    from trainer.trainer import Trainer


class Accelerator(ABC):
    """One kind of device: which there are, and what to do with one before and after a run.

    An instance may be given to the trainer, or a class be registered in `AcceleratorRegistry` under a name.
    """

    @abstractmethod
    def setup_device(self, device: torch.device) -> None:
        """Prepare the device of this process."""

    def setup(self, trainer: Trainer) -> None:  # noqa: B027 - may be left out
        """Prepare a run of a trainer; called once the device is known."""

    @abstractmethod
    def teardown(self) -> None:
        """Tidy up after a run."""

    @staticmethod
    @abstractmethod
    def parse_devices(devices: Any) -> Any:
        """Return what the argument `devices` of the trainer means, for `get_parallel_devices`."""

    @staticmethod
    @abstractmethod
    def get_parallel_devices(devices: Any) -> Any:
        """Return the devices, one for each process on this machine."""

    @staticmethod
    @abstractmethod
    def auto_device_count() -> int:
        """Return what `devices="auto"` means."""

    @staticmethod
    @abstractmethod
    def is_available() -> bool:
        """Return whether this machine has such a device."""

    @staticmethod
    @abstractmethod
    def name() -> str:
        """Return the name that the trainer's argument may have."""

    def get_device_stats(self, device: torch.device | str | int) -> dict[str, Any]:
        """Return numbers of the device, for `DeviceStatsMonitor`."""
        raise NotImplementedError(f"{type(self).__name__} has no `get_device_stats`. Write one to monitor its devices.")

    @classmethod  # noqa: B027 - may be left out
    def register_accelerators(cls, accelerator_registry: Registry[Accelerator]) -> None:
        """Add this class to a registry under its names; called for the accelerators of this package."""
