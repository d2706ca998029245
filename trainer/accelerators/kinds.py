"""The accelerators of this package: CPU, CUDA and MPS."""

from __future__ import annotations

from typing import Any

import torch

from trainer.accelerators.accelerator import Accelerator
from trainer.accelerators.devices import read_indices
from trainer.configuration.registry import Registry
from trainer.errors import MisconfigurationException, four_parts


class _Kind(Accelerator):
    """What the three have in common."""

    def setup_device(self, device: torch.device) -> None:
        """Refuse a device of another kind.

        Raises:
            MisconfigurationException: it is one.
        """
        if device.type != self.name():
            raise MisconfigurationException(
                four_parts(
                    f"{type(self).__name__} got a device of another kind.",
                    got=str(device),
                    expected=f"a device of the kind {self.name()!r}",
                    remedy="Pass it to the accelerator of its own kind.",
                )
            )

    def teardown(self) -> None:
        """Do nothing."""

    @classmethod
    def register_accelerators(cls, accelerator_registry: Registry[Accelerator]) -> None:
        """Add this class under its name."""
        accelerator_registry.register(cls.name(), cls, description=cls.__name__)


class CPUAccelerator(_Kind):
    """The processor; a device is a process."""

    @staticmethod
    def parse_devices(devices: int | str | list[int]) -> int:
        """Return the number of processes."""
        return len(read_indices(devices, None))

    @staticmethod
    def get_parallel_devices(devices: int | str | list[int]) -> list[torch.device]:
        """Return the CPU, once for each process."""
        return [torch.device("cpu")] * len(read_indices(devices, None))

    @staticmethod
    def auto_device_count() -> int:
        """Return 1."""
        return 1

    @staticmethod
    def is_available() -> bool:
        """Return True."""
        return True

    @staticmethod
    def name() -> str:
        """Return "cpu"."""
        return "cpu"

    def get_device_stats(self, device: torch.device | str | int) -> dict[str, Any]:
        """Return the shares of processor, memory and swap space in use, in percent; needs psutil."""
        from trainer.callbacks.device_stats_monitor import cpu_stats

        return dict(cpu_stats())


class CUDAAccelerator(_Kind):
    """GPUs that torch drives with CUDA (or ROCm)."""

    def setup_device(self, device: torch.device) -> None:
        """Make `device` the current one.

        Raises:
            MisconfigurationException: it is no CUDA device.
        """
        super().setup_device(device)
        torch.cuda.set_device(device)

    @staticmethod
    def parse_devices(devices: int | str | list[int]) -> list[int]:
        """Return the indices of the GPUs."""
        return list(read_indices(devices, torch.cuda.device_count()))

    @staticmethod
    def get_parallel_devices(devices: list[int]) -> list[torch.device]:
        """Return the GPUs."""
        return [torch.device("cuda", index) for index in devices]

    @staticmethod
    def auto_device_count() -> int:
        """Return how many GPUs torch sees."""
        return torch.cuda.device_count()

    @staticmethod
    def is_available() -> bool:
        """Return whether torch sees a GPU."""
        return torch.cuda.is_available()

    @staticmethod
    def name() -> str:
        """Return "cuda"."""
        return "cuda"

    def get_device_stats(self, device: torch.device | str | int) -> dict[str, Any]:
        """Return what torch's allocator counts on the device, in bytes and events."""
        return torch.cuda.memory_stats(device)


class MPSAccelerator(_Kind):
    """The GPU of an Apple machine. It was never run in this project's tests."""

    @staticmethod
    def parse_devices(devices: int | str | list[int]) -> list[int]:
        """Return the one index there is.

        Raises:
            MisconfigurationException: another device is asked for.
        """
        return list(read_indices(devices, 1))

    @staticmethod
    def get_parallel_devices(devices: list[int]) -> list[torch.device]:
        """Return the device."""
        return [torch.device("mps", index) for index in devices]

    @staticmethod
    def auto_device_count() -> int:
        """Return 1."""
        return 1

    @staticmethod
    def is_available() -> bool:
        """Return whether torch can use it."""
        return torch.backends.mps.is_available()

    @staticmethod
    def name() -> str:
        """Return "mps"."""
        return "mps"

    def get_device_stats(self, device: torch.device | str | int) -> dict[str, Any]:
        """Return the bytes in use by tensors and by the driver."""
        return {
            "current_allocated_memory": torch.mps.current_allocated_memory(),
            "driver_allocated_memory": torch.mps.driver_allocated_memory(),
        }


def find_usable_cuda_devices(num_devices: int = -1) -> list[int]:
    """Return the indices of GPUs on which a tensor can be made: those that no other process holds for itself.

    Args:
        num_devices: how many are wanted; -1 takes all that are usable.

    Raises:
        ValueError: this machine has no GPUs, or fewer.
        RuntimeError: too many of them are taken.
    """
    if num_devices == 0:
        return []
    visible = torch.cuda.device_count()
    if visible == 0 or num_devices > visible:
        raise ValueError(
            f"`find_usable_cuda_devices` was asked for {num_devices} devices. Got a machine on which torch sees "
            f"{visible}; expected enough of them. Ask for fewer, or look at CUDA_VISIBLE_DEVICES."
        )
    usable: list[int] = []
    taken: list[int] = []
    for index in range(visible):
        try:
            torch.tensor(0, device=torch.device("cuda", index))
        except RuntimeError:
            taken.append(index)
            continue
        usable.append(index)
        if len(usable) == num_devices:
            break
    if num_devices != -1 and len(usable) != num_devices:
        raise RuntimeError(
            f"`find_usable_cuda_devices` was asked for {num_devices} devices. Got {usable}; the devices {taken} are "
            "held by other processes. Ask for fewer, or wait for them."
        )
    return usable
