"""A model that was dealt out: what this process has of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trainer.strategies.pipeline.layers import Apply, Layers
from trainer.strategies.pipeline.seat import Seat


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitModel:
    """The layers of one model, and which of them are here.

    Attributes:
        layers: all of them.
        starts: index of the first layer of each stage.
        seat: this process.
        microbatches: parts of a batch.
    """

    layers: Layers
    starts: Sequence[int]
    seat: Seat
    microbatches: int

    def of_stage(self, stage: int) -> range:
        """Return the indices of a stage's layers."""
        ends = [*self.starts[1:], len(self.layers.parts)]
        return range(self.starts[stage], ends[stage])

    @property
    def mine(self) -> list[int]:
        """Return the indices of the layers on this process."""
        return [index for stage in self.seat.own_stages for index in self.of_stage(stage)]

    @property
    def own_layers(self) -> list[list[Apply]]:
        """Return the layers of each stage of this process."""
        return [[self.layers.parts[index] for index in self.of_stage(stage)] for stage in self.seat.own_stages]
