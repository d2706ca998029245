"""The kinds of device that a run can compute on, and a place for others."""

from trainer.accelerators.accelerator import Accelerator
from trainer.accelerators.devices import Devices, choose_devices
from trainer.accelerators.kinds import CPUAccelerator, CUDAAccelerator, MPSAccelerator, find_usable_cuda_devices
from trainer.accelerators.registry import AcceleratorRegistry

__all__ = [
    "Accelerator",
    "AcceleratorRegistry",
    "CPUAccelerator",
    "CUDAAccelerator",
    "Devices",
    "MPSAccelerator",
    "choose_devices",
    "find_usable_cuda_devices",
]
