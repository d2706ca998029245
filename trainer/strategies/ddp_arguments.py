"""Arguments of the DDP strategy that are checked: the back end, and what goes on to DistributedDataParallel."""

from __future__ import annotations

import inspect
from typing import Any

import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from trainer.errors import MisconfigurationException, four_parts

_PLACED = {
    "accelerator": "Trainer(accelerator=...)",
    "parallel_devices": "Trainer(devices=...)",
    "cluster_environment": "nothing: the processes of a cluster are found by their variables",
    "checkpoint_io": "Trainer(plugins=[...])",
    "precision_plugin": "Trainer(plugins=[...])",
}
_OWN = {"self", "module", "device_ids", "output_device", "process_group", "dim", "device_mesh"}


def check_backend(backend: str | None, kind: str) -> None:
    """Refuse a back end of torch.distributed that is not there or does not serve devices of `kind`.

    Raises:
        MisconfigurationException: it cannot be used.
    """
    if backend is None:
        return
    parts = [part.split(":")[-1] for part in backend.lower().split(",")]  # such as "cpu:gloo,cuda:nccl"
    if kind == "cpu" and parts == ["nccl"]:
        raise MisconfigurationException(
            four_parts("NCCL exchanges tensors of GPUs only.", got=f"{backend!r} on CPUs", expected="'gloo'",
                       remedy="Leave `process_group_backend` out, or pass accelerator='cuda'.")
        )  # fmt: skip
    if not all(dist.is_backend_available(part) for part in parts):
        here = [name for name in ("gloo", "nccl", "mpi", "ucc", "xccl") if dist.is_backend_available(name)]
        raise MisconfigurationException(
            four_parts("This build of torch lacks the back end of the process group.", got=backend,
                       expected=f"one of {here}", remedy="Install a build of torch that has it, or pass another one.")
        )  # fmt: skip


def ddp_options(given: dict[str, Any]) -> dict[str, Any]:
    """Return the keywords of DistributedDataParallel among those that a strategy was given.

    Raises:
        TypeError: it has no such argument.
        MisconfigurationException: it is given elsewhere.
    """
    known = set(inspect.signature(DistributedDataParallel.__init__).parameters) - _OWN
    for name, value in given.items():
        if name in _PLACED and value is not None:
            raise MisconfigurationException(
                four_parts(f"A strategy takes no `{name}` here.", got=value, expected="None",
                           remedy=f"Pass {_PLACED[name]}.")
            )  # fmt: skip
        if name not in _PLACED and name not in known:
            raise TypeError(f"Neither DDPStrategy nor torch's DistributedDataParallel has an argument `{name}`.")
    return {name: value for name, value in given.items() if name not in _PLACED}
