"""Batches of a text dataset for prediction."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

import trainer as tr
from components.writing.preprocess.arrays import TextArrays

BATCH = 64


@dataclass(frozen=True, slots=True)
class Batches:
    """Every response of a split once, those of like length together."""

    arrays: TextArrays

    def __len__(self) -> int:
        return -(-len(self.arrays.prompt_R) // BATCH)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        ragged = self.arrays.ids if self.arrays.ids is not None else self.arrays.tokens
        responses = len(self.arrays.prompt_R)
        order = np.arange(responses) if ragged is None else np.argsort(-ragged.lengths(), kind="stable")
        for at in range(0, responses, BATCH):
            batch = self.arrays.batch(order[at : at + BATCH].tolist())
            yield {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in batch.items()}


class WritingData(tr.LightningDataModule):
    """A split of a text dataset."""

    def __init__(self, folder: Path, split: str) -> None:
        super().__init__()
        self.folder = folder
        self.split = split

    @classmethod
    def for_prediction(cls, folder: Path, split: str) -> Self:
        """Return what gives every response of the split once."""
        return cls(folder, split)

    def predict_dataloader(self) -> Batches:
        """Return the batches."""
        return Batches(TextArrays.open(self.folder, self.split))
