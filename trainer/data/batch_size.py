"""How many samples a batch holds: the first dimension of its first tensor."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from trainer.types import Batch


class BatchSizeReader:
    """Remembers where the first tensor was found, so that later batches are read without a search."""

    def __init__(self) -> None:
        self._path: tuple[Any, ...] | None = None  # keys, indices or attribute names

    def read(self, batch: Batch) -> int:
        """Return the batch size, 1 where the batch holds no tensor."""
        if self._path is not None:
            try:
                tensor = batch
                for key in self._path:
                    tensor = getattr(tensor, key.name) if isinstance(key, _Attribute) else tensor[key]
                if isinstance(tensor, Tensor):
                    return tensor.shape[0] if tensor.ndim else 1
            except (KeyError, IndexError, TypeError, AttributeError):
                pass
        self._path = _find(batch)
        return 1 if self._path is None else self.read(batch)


@dataclasses.dataclass(frozen=True, slots=True)
class _Attribute:
    name: str


def _find(batch: Any) -> tuple[Any, ...] | None:
    if isinstance(batch, Tensor):
        return ()
    parts: list[tuple[Any, Any]] = []
    if isinstance(batch, Mapping):
        parts = list(batch.items())
    elif isinstance(batch, list | tuple):
        parts = list(enumerate(batch))
    elif dataclasses.is_dataclass(batch):
        parts = [(_Attribute(field.name), getattr(batch, field.name)) for field in dataclasses.fields(batch)]
    for key, part in parts:
        path = _find(part)
        if path is not None:
            return (key, *path)
    return None
