"""Choosing the kind of device and how many of them from `accelerator` and `devices`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

import torch

from trainer.errors import MisconfigurationException, four_parts

if TYPE_CHECKING:
    from trainer.accelerators.accelerator import Accelerator

_REFUSED = {
    "tpu": "TPUs need torch_xla, which this trainer does not drive.",
    "hpu": "HPUs need a vendor's build of torch, which this trainer does not drive.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Devices:
    """The devices of this machine that a run uses: their kind and their indices, one process each.

    Attributes:
        kind: "cpu", "cuda", "mps", or what a user's accelerator calls its devices.
        indices: of the devices.
        accelerator: what knows them.
        places: the devices of a user's accelerator, which may be any.
    """

    kind: str
    indices: tuple[int, ...]
    accelerator: Accelerator = field(compare=False)
    places: tuple[torch.device, ...] = ()

    @property
    def count(self) -> int:
        """Return the number of processes on this machine."""
        return len(self.indices)

    def device(self, local_rank: int) -> torch.device:
        """Return the device of one process."""
        if self.places:
            return self.places[local_rank]
        if self.kind == "cpu":
            return torch.device("cpu")
        return torch.device(self.kind, self.indices[local_rank])


def choose_devices(
    accelerator: str | Accelerator, devices: int | str | list[int], *, auto_count: int | None = None
) -> Devices:
    """Return the devices meant by the two trainer arguments.

    Args:
        accelerator: "cpu", "cuda", "mps", "gpu", "auto", a name from `AcceleratorRegistry`, or an Accelerator.
        devices: a count, -1 for all, a list of indices, "0,1", or "auto".
        auto_count: what "auto" means when a cluster environment has already decided it.

    Raises:
        MisconfigurationException: the accelerator is unknown, refused or absent, or the devices are not there.
    """
    own = _find(accelerator)
    if devices == "auto":
        devices = own.auto_device_count() if auto_count is None else auto_count
    if own.name() not in ("cpu", "cuda", "mps"):
        places = tuple(own.get_parallel_devices(own.parse_devices(devices)))
        if not places:
            _refuse_devices(own.name(), devices, "at least one")
        indices = tuple(place.index or 0 for place in places)
        return Devices(kind=places[0].type, indices=indices, accelerator=own, places=places)
    kind = own.name()
    available = None if kind == "cpu" else own.auto_device_count()
    indices = read_indices(devices, available)
    if not indices or (available is not None and max(indices) >= available):
        _refuse_devices(kind, devices, "at least one process" if available is None else f"indices below {available}")
    return Devices(kind=kind, indices=indices, accelerator=own)


def _refuse_devices(kind: str, devices: object, expected: str) -> NoReturn:
    raise MisconfigurationException(
        four_parts(
            f"`devices` asks for {kind} devices that are not there.",
            got=devices,
            expected=expected,
            remedy='Pass devices="auto" or fewer devices.',
        )
    )


def _find(accelerator: str | Accelerator) -> Accelerator:
    from trainer.accelerators import kinds, registry
    from trainer.accelerators.accelerator import Accelerator

    gpus: list[type[Accelerator]] = [kinds.CUDAAccelerator, kinds.MPSAccelerator]
    known = registry.AcceleratorRegistry
    if isinstance(accelerator, Accelerator):
        found = accelerator
    elif accelerator in ("auto", "gpu"):
        there = [gpu for gpu in gpus if gpu.is_available()]
        found = (there or [kinds.CPUAccelerator if accelerator == "auto" else gpus[0]])[0]()
    elif isinstance(accelerator, str) and accelerator in known:
        found = known.get(accelerator)
    else:
        remedy = _REFUSED.get(accelerator, "Correct the name.") if isinstance(accelerator, str) else "Correct it."
        raise MisconfigurationException(
            four_parts(
                "`accelerator` is not supported.",
                got=accelerator,
                expected=f"'auto', 'gpu', one of {sorted(known)}, or an Accelerator",
                remedy=remedy,
            )
        )
    if not found.is_available():
        raise MisconfigurationException(
            four_parts(
                f"`accelerator` asks for a {'GPU' if type(found) in gpus else 'device'} and torch sees none.",
                got=accelerator,
                expected=f"a machine where {type(found).__name__}.is_available()",
                remedy='Pass accelerator="cpu" or "auto".',
            )
        )
    return found


def read_indices(devices: int | str | list[int], available: int | None) -> tuple[int, ...]:
    """Return the indices meant by the argument `devices`, of `available` devices (None: any number of processes).

    Raises:
        MisconfigurationException: it cannot be read.
    """
    try:
        if isinstance(devices, str):
            numbers = [int(part) for part in devices.split(",") if part.strip()]
            devices = numbers if "," in devices else numbers[0]
        if isinstance(devices, int) and not isinstance(devices, bool):
            count = (available or 1) if devices == -1 else devices
            return tuple(range(count))
        if isinstance(devices, list) and all(isinstance(index, int) and index >= 0 for index in devices):
            if len(set(devices)) != len(devices):
                raise ValueError("repeated index")
            return tuple(devices)
        raise ValueError("wrong type")
    except (ValueError, IndexError) as error:
        raise MisconfigurationException(
            four_parts(
                "`devices` cannot be read.",
                got=devices,
                expected="a count, -1, a list of different indices, a string such as '0,1', or 'auto'",
                remedy="Correct the value.",
            )
        ) from error
