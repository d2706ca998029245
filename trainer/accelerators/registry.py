"""The accelerators that the trainer's argument can name."""

from __future__ import annotations

from trainer.accelerators.accelerator import Accelerator
from trainer.accelerators.kinds import CPUAccelerator, CUDAAccelerator, MPSAccelerator
from trainer.configuration.registry import Registry


class _Accelerators(Registry[Accelerator]):
    def available_accelerators(self) -> set[str]:
        """Return the names."""
        return set(self)


AcceleratorRegistry = _Accelerators("accelerator")
for _class in (CPUAccelerator, CUDAAccelerator, MPSAccelerator):
    _class.register_accelerators(AcceleratorRegistry)
