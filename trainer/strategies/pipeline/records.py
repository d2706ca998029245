"""What a step logs on the last stage, once for each microbatch: brought together, and told to the other stages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from trainer.metrics.entry import Options, reduction_of
from trainer.metrics.store import MetricStore


@dataclass(slots=True)
class _Logged:
    options: Options
    values: list[Any] = field(default_factory=list)
    sizes: list[int | None] = field(default_factory=list)


class Records:
    """Stands between `self.log` and the store while microbatches are computed.

    A mean over microbatches is the mean of the batch; sums add up, and extremes are extremes of all.
    """

    def __init__(self, store: MetricStore) -> None:
        self._store = store
        self._logged: dict[str, _Logged] = {}

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Keep what is logged inside the block."""
        with self._instead(self._take):
            yield

    @contextmanager
    def ignoring(self) -> Iterator[None]:
        """Drop what is logged inside the block: the same is logged on the last stage."""
        with self._instead(lambda *arguments: None):
            yield

    @contextmanager
    def _instead(self, log: Any) -> Iterator[None]:
        self._store.__dict__["log"] = log
        try:
            yield
        finally:
            del self._store.__dict__["log"]

    def _take(self, name: str, value: Any, options: Options, batch_size: int | None) -> None:
        if isinstance(value, Tensor):
            value = value.detach()
        logged = self._logged.setdefault(name, _Logged(options))
        if logged.options != options:
            self._store.log(name, value, logged.options, batch_size)
        logged.values.append(value)
        logged.sizes.append(batch_size)

    def log(self) -> list[tuple[str, float, Options, int | None]]:
        """Log what was kept, each name once for the batch; return what other processes have to log, as plain data."""
        told: list[tuple[str, float, Options, int | None]] = []
        for name, logged in self._logged.items():
            value, size = _joined(logged)
            self._store.log(name, value, logged.options, size)
            if isinstance(value, Tensor):
                options = logged.options
                plain: Options = (*options[:4], reduction_of(options[4]), *options[5:])
                told.append((name, float(value), plain, size))
        self._logged.clear()
        return told


def _joined(logged: _Logged) -> tuple[Any, int | None]:
    """Return the value of the whole batch and its weight, None where that is the batch's size."""
    sizes = [size for size in logged.sizes if size is not None]
    size = sum(sizes) if len(sizes) == len(logged.sizes) else None
    try:
        values = torch.stack([torch.as_tensor(value).reshape(()).to(torch.float64) for value in logged.values])
    except (TypeError, ValueError, RuntimeError):
        return logged.values[-1], size  # a metric object, or something that the store refuses
    reduction = reduction_of(logged.options[4]) or "mean"
    if reduction == "mean" and size:
        weights = torch.tensor(sizes, dtype=torch.float64, device=values.device)
        joined: Tensor = (values * weights).sum() / size
    else:
        joined = getattr(values, {"min": "amin", "max": "amax"}.get(reduction, reduction))()
    first = logged.values[0]
    return joined.to(first.dtype) if isinstance(first, Tensor) and first.is_floating_point() else joined, size
