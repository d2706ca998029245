"""An affine map of a logit in buffers: it is kept with the weights and exported with the graph, but never learned."""

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
        if not slope > 0.0:
            raise ValueError(f"slope is {slope}; expected above 0, as it must keep the order of answers.")
        self.slope.fill_(slope)
        self.intercept.fill_(intercept)

    def forward(self, logit: Tensor) -> Tensor:
        """Return the mapped logits, of any shape."""
        return logit * self.slope + self.intercept
