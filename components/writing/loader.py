"""Batches of texts of like length, in an order that a resumed epoch finds again."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from components.writing.preprocess.arrays import TextArrays

JITTER = 0.1
"""Lengths are taken for this share (a standard deviation) longer or shorter, so that batches differ by epoch."""


class TextLoader:
    """Gives every response of a split once an epoch, those of like length together.

    With a seed, for training, the batches are a function of seed and epoch alone. Several ranks then share each of
    them, text by text: `weight` says how many texts a rank has of its batch, 1 for an equal share; the mean loss of
    its texts times `weight`, averaged over the ranks, is the mean loss of the batch. A rank that is left without a
    text gets one with weight 0. Without a seed, texts come by falling length and each rank takes every n-th batch.

    `state_dict` says how many batches of the epoch were taken; a loader that loads it goes on with the next one.

    Args:
        arrays: of one split.
        texts: in a batch, of all ranks together.
        seed: of the order; None keeps the texts sorted.
        rank: this process, from 0.
        world_size: processes that share the texts.
    """

    def __init__(
        self, arrays: TextArrays, texts: int, *, seed: int | None = None, rank: int = 0, world_size: int = 1
    ) -> None:
        if texts < 1 or not 0 <= rank < world_size:
            raise ValueError(
                f"Batches of {texts} texts for rank {rank} of {world_size}; expected at least 1 text, and a rank below "
                "the number of processes."
            )
        self.arrays = arrays
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        ragged = arrays.ids if arrays.ids is not None else arrays.tokens
        responses = len(arrays.prompt_R)
        self.lengths_R = np.zeros(responses, np.int64) if ragged is None else ragged.lengths()
        # With few texts, smaller batches, so that every rank has one to evaluate.
        self.texts = texts if seed is not None else max(1, min(texts, responses // world_size))
        self._epoch = 0
        self._taken = 0
        self._skip = 0

    def __len__(self) -> int:
        count = self._count
        return count if self.seed is not None else len(range(self.rank, count, self.world_size))

    @property
    def _count(self) -> int:
        return -(-len(self.lengths_R) // self.texts)

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of an epoch, from its beginning."""
        self._epoch = epoch
        self._taken = self._skip = 0

    def state_dict(self) -> dict[str, Any]:
        """Return the epoch and how many of its batches were given."""
        return {"epoch": self._epoch, "taken": self._taken}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Let the next iteration go on after the batches that had been given.

        Raises:
            ValueError: more batches were given than an epoch has here: the data or the batch size changed.
        """
        epoch, taken = int(state_dict["epoch"]), int(state_dict["taken"])
        if not 0 <= taken <= len(self):
            raise ValueError(
                f"The saved place is after batch {taken}; an epoch has {len(self)} batches here. Resume with the same "
                "data and batch_texts."
            )
        self._epoch = epoch
        self._taken = self._skip = taken

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        if self.seed is None:
            order = np.argsort(-self.lengths_R, kind="stable")
            numbers = np.arange(self._count)[self.rank :: self.world_size]
        else:
            random = np.random.default_rng([self.seed, self._epoch])
            about_R = self.lengths_R * (1.0 + JITTER * random.standard_normal(len(self.lengths_R)))
            shuffled = random.permutation(len(about_R))
            order = shuffled[np.argsort(-about_R[shuffled], kind="stable")]
            numbers = random.permutation(self._count)
        self._taken, self._skip = self._skip, 0
        for number in numbers[self._taken :]:
            self._taken += 1  # before it is given: a state asked for during its step counts it
            chosen = order[number * self.texts : (number + 1) * self.texts]
            yield self._share(chosen) if self.seed is not None and self.world_size > 1 else self._batch(chosen)

    def _share(self, chosen: npt.NDArray[np.int64]) -> dict[str, Tensor]:
        """Return this rank's texts of a batch, and the weight of their mean loss."""
        own = chosen[self.rank :: self.world_size]
        weight = len(own) * self.world_size / len(chosen)
        return {**self._batch(own if len(own) else chosen[:1]), "weight": torch.tensor(weight)}

    def _batch(self, rows: npt.NDArray[np.int64]) -> dict[str, Tensor]:
        batch = self.arrays.batch(rows.tolist())
        return {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in batch.items()}
