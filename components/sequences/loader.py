"""Batches of windows of like length under a fixed budget of steps, in an order that a resumed epoch finds again.

Padding every window to the longest that is allowed costs several times the work; sorting by length and filling batches
up to a budget of padded steps costs one argsort an epoch. Needs no worker processes (`benchmarks/loader.py`).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from components.sequences.windows import Windows


class WindowLoader:
    """Gives batches of windows of like length, at most `batch_steps` padded steps each.

    With a seed, for training, windows of equal length and the batches themselves come in an order that is a function of
    seed and epoch alone. Several ranks share each of these batches, window by window: batches, their order and number
    are those of one rank. `weight` then says how many steps a rank has of its batch, 1 for an equal share: the mean
    loss of its steps times `weight`, averaged over the ranks, is the mean loss of the batch. A rank that is left
    without a window gets one with weight 0. Without a seed, each rank takes every n-th batch.

    `state_dict` says how many batches of the epoch were taken; a loader that loads it goes on with the next one,
    without reading those before, also with another number of ranks when shuffling.

    Args:
        windows: of one split.
        batch_steps: largest batch in steps, padding counted; a longer window is a batch of its own.
        seed: of the order; None keeps the windows sorted by falling length.
        rank: this process, from 0.
        world_size: processes that share the windows.

    Raises:
        ValueError: `batch_steps` is below 1, or `rank` is not one of the processes.
    """

    def __init__(
        self, windows: Windows, batch_steps: int, *, seed: int | None = None, rank: int = 0, world_size: int = 1
    ) -> None:
        if batch_steps < 1:
            raise ValueError(f"batch_steps is {batch_steps}; expected at least 1, e.g. 1600.")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank is {rank} of {world_size} processes; expected 0 to {world_size - 1}.")
        self.windows = windows
        self.batch_steps = batch_steps
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self._epoch = 0
        self._taken = 0
        self._skip = 0
        self._order = np.argsort(-windows.lengths_W, kind="stable")
        # Small enough that every rank has a batch to evaluate.
        share = windows.steps // (2 * (world_size if seed is None else 1))
        self._cuts = cut_batches(windows.lengths_W[self._order], min(batch_steps, max(share, 1)))

    def __len__(self) -> int:
        count = len(self._cuts) - 1
        return count if self.seed is not None else len(range(self.rank, count, self.world_size))

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
                "data and batch_steps."
            )
        self._epoch = epoch
        self._taken = self._skip = taken

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        order = self._order
        numbers = np.arange(len(self._cuts) - 1)
        if self.seed is not None:
            random = np.random.default_rng([self.seed, self._epoch])
            shuffled = random.permutation(len(order))
            order = shuffled[np.argsort(-self.windows.lengths_W[shuffled], kind="stable")]
            numbers = random.permutation(numbers)
        else:
            numbers = numbers[self.rank :: self.world_size]
        self._taken, self._skip = self._skip, 0
        for number in numbers[self._taken :]:
            self._taken += 1  # before it is given: a state asked for during its step counts it
            chosen = order[self._cuts[number] : self._cuts[number + 1]]
            yield self._share(chosen) if self.seed is not None and self.world_size > 1 else self.windows.batch(chosen)

    def _share(self, chosen: npt.NDArray[np.int64]) -> dict[str, torch.Tensor]:
        """Return this rank's windows of a batch, and the weight of their mean loss."""
        own, lengths = chosen[self.rank :: self.world_size], self.windows.lengths_W
        weight = float(lengths[own].sum()) * self.world_size / float(lengths[chosen].sum())
        return {**self.windows.batch(own if len(own) else chosen[:1]), "weight": torch.tensor(weight)}


def cut_batches(lengths: npt.NDArray[np.int32], batch_steps: int) -> npt.NDArray[np.int64]:
    """Return the cuts between batches of windows sorted by falling length: the first of a batch sets its padding."""
    cuts = [0]
    while cuts[-1] < len(lengths):
        cuts.append(min(cuts[-1] + max(1, batch_steps // int(lengths[cuts[-1]])), len(lengths)))
    return np.asarray(cuts)
