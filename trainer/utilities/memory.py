"""Memory: letting go of graphs and caches, and knowing when there was too little."""

from __future__ import annotations

import gc
from typing import Any

import torch

from trainer.data.transfer import map_tensors

__all__ = ["garbage_collection_cuda", "is_oom_error", "recursive_detach"]

_SIGNS = (
    "out of memory",
    "cuDNN error: CUDNN_STATUS_NOT_SUPPORTED",
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
)


def recursive_detach(in_dict: Any, to_cpu: bool = False) -> Any:
    """Return the collection with every tensor in it detached, on the CPU if asked for."""
    return map_tensors(lambda tensor: tensor.detach().cpu() if to_cpu else tensor.detach(), in_dict)


def is_oom_error(exception: BaseException) -> bool:
    """Return whether the exception says that memory ran out."""
    return isinstance(exception, MemoryError | torch.OutOfMemoryError) or (
        isinstance(exception, RuntimeError) and any(sign in str(exception) for sign in _SIGNS)
    )


def garbage_collection_cuda() -> None:
    """Collect garbage and give torch's cached GPU memory back."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
