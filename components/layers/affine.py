"""Affine maps of a logit in buffers: they are kept with the weights and exported with the graph, but never learned.

Shapes: B rows, G groups.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class AffineLogit(nn.Module):
    """Gives slope * logit + intercept; the identity, to the last bit, until it is set."""

    slope: Tensor
    intercept: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("slope", torch.ones(()))
        self.register_buffer("intercept", torch.zeros(()))

    def set(self, slope: float, intercept: float) -> None:
        """Take this slope, which must be above 0, and intercept.

        Raises:
            ValueError: the slope would turn the order of answers round, or is no number.
        """
        _check(slope)
        self.slope.fill_(slope)
        self.intercept.fill_(intercept)

    def forward(self, logit: Tensor) -> Tensor:
        """Return the mapped logits, of any shape."""
        return logit * self.slope + self.intercept


class AffineLogitByGroup(nn.Module):
    """Gives slope * logit + intercept, a pair for each group; the identity, to the last bit, until they are set.

    Args:
        groups: G; index 0 is for everybody who is of none of them.
    """

    slope_G: Tensor
    intercept_G: Tensor

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.register_buffer("slope_G", torch.ones(1 + groups))
        self.register_buffer("intercept_G", torch.zeros(1 + groups))

    def set(self, pairs: Sequence[tuple[float, float]]) -> None:
        """Take these slopes and intercepts, the pair for everybody first.

        Raises:
            ValueError: there are more or fewer, or a slope would turn the order of answers round or is no number.
        """
        if len(pairs) != len(self.slope_G):
            raise ValueError(f"{len(pairs)} pairs of slope and intercept; expected {len(self.slope_G)}.")
        for slope, _ in pairs:
            _check(slope)
        self.slope_G.copy_(torch.tensor([slope for slope, _ in pairs]))
        self.intercept_G.copy_(torch.tensor([intercept for _, intercept in pairs]))

    def forward(self, logit_BT: Tensor, group_B: Tensor) -> Tensor:
        """Return the mapped logits (B, T)."""
        return logit_BT * self.slope_G[group_B].unsqueeze(-1) + self.intercept_G[group_B].unsqueeze(-1)


def _check(slope: float) -> None:
    if not slope > 0.0:
        raise ValueError(f"slope is {slope}; expected above 0, as it must keep the order of answers.")
