"""Choosing the kind of device and how many of them from `accelerator` and `devices`."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from trainer.errors import MisconfigurationException, four_parts

_REFUSED = {
    "tpu": "TPUs need torch_xla, which this trainer does not drive.",
    "hpu": "HPUs need a vendor's build of torch, which this trainer does not drive.",
    "mps": "MPS devices were never tested with this trainer.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Devices:
    """The devices of this machine that a run uses: their kind and their indices, one process each."""

    kind: str
    indices: tuple[int, ...]

    @property
    def count(self) -> int:
        """Return the number of processes on this machine."""
        return len(self.indices)

    def device(self, local_rank: int) -> torch.device:
        """Return the device of one process."""
        if self.kind == "cpu":
            return torch.device("cpu")
        return torch.device(self.kind, self.indices[local_rank])


def choose_devices(accelerator: str, devices: int | str | list[int], *, auto_count: int | None = None) -> Devices:
    """Return the devices meant by the two trainer arguments.

    Args:
        accelerator: "cpu", "cuda", "gpu" or "auto".
        devices: a count, -1 for all, a list of indices, "0,1", or "auto".
        auto_count: what "auto" means when a cluster environment has already decided it.

    Raises:
        MisconfigurationException: the accelerator is unknown, refused or absent, or the devices are not there.
    """
    kind = _kind(accelerator)
    available = torch.cuda.device_count() if kind == "cuda" else None
    if devices == "auto":
        count = auto_count if auto_count is not None else (1 if available is None else available)
        return Devices(kind=kind, indices=tuple(range(count)))
    indices = _indices(devices, available)
    if not indices or (available is not None and max(indices) >= available):
        raise MisconfigurationException(
            four_parts(
                f"`devices` asks for {kind} devices that are not there.",
                got=devices,
                expected="at least one process" if available is None else f"indices below {available}",
                remedy='Pass devices="auto" or fewer devices.',
            )
        )
    return Devices(kind=kind, indices=indices)


def _kind(accelerator: str) -> str:
    if accelerator == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind = "cuda" if accelerator == "gpu" else accelerator
    if kind in _REFUSED or kind not in ("cpu", "cuda"):
        raise MisconfigurationException(
            four_parts(
                "`accelerator` is not supported.",
                got=accelerator,
                expected="'cpu', 'cuda', 'gpu' or 'auto'",
                remedy=_REFUSED.get(kind, "Correct the name."),
            )
        )
    if kind == "cuda" and not torch.cuda.is_available():
        raise MisconfigurationException(
            four_parts(
                "`accelerator` asks for a GPU and torch sees none.",
                got=accelerator,
                expected="a machine where torch.cuda.is_available()",
                remedy='Pass accelerator="cpu" or "auto".',
            )
        )
    return kind


def _indices(devices: int | str | list[int], available: int | None) -> tuple[int, ...]:
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
