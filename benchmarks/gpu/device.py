"""The device: its clock, its memory, and how long a call takes on it."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch


def device() -> torch.device:
    """Return where everything runs."""
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def is_cuda() -> bool:
    """Return whether a GPU of CUDA is there."""
    return device().type == "cuda"


def synchronise() -> None:
    """Wait for everything that the device was given."""
    if is_cuda():
        torch.cuda.synchronize()


def mark() -> Any:  # an event, or a time
    """Note this place in the stream of work, without waiting for it."""
    if not is_cuda():
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    event.record()
    return event


def between(first: Any, second: Any) -> float:
    """Return the seconds between two marks; the device has passed both."""
    return float(first.elapsed_time(second)) / 1e3 if is_cuda() else float(second - first)


def clear() -> None:
    """Let go of what earlier sections left, and begin to count memory anew."""
    gc.collect()
    if is_cuda():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_gib() -> float | None:
    """Return the most memory that tensors had at once."""
    return torch.cuda.max_memory_allocated() / 2**30 if is_cuda() else None


def timed(run: Callable[[], object], repeats: int) -> float:
    """Return the median seconds of a call, after three that do not count."""
    for _ in range(3):
        run()
    synchronise()
    found = []
    for _ in range(repeats):
        first = mark()
        run()
        second = mark()
        synchronise()
        found.append(between(first, second))
    return statistics.median(found)
