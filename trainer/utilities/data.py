"""The size of a batch."""

from __future__ import annotations

from trainer.data.batch_size import BatchSizeReader
from trainer.types import Batch

__all__ = ["extract_batch_size"]


def extract_batch_size(batch: Batch) -> int:
    """Return the first dimension of the first tensor in `batch`."""
    return BatchSizeReader().read(batch)
