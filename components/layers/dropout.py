"""Dropout that costs little on a CPU: one random byte decides for one value.

`torch.nn.functional.dropout` draws one Bernoulli number a value, which on one CPU thread takes longer than the layers
around it in a small recurrent network (`benchmarks/tracing_speed.py`). Eight values share one 64-bit draw here.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # the name that everybody uses

LEVELS = 256


class Dropout(nn.Module):
    """Zeroes each value with probability `p` in training and scales the others, so that expectations stay.

    On a CPU `p` is rounded to a multiple of 1/256, and the scale goes with the rounded one. Elsewhere, and for a `p`
    that would round to 0 or 1, it is torch's own. Either way the draws come from torch's default generator.

    Args:
        p: in [0, 1).

    Raises:
        ValueError: `p` is outside.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0.0 <= p < 1.0:
            raise ValueError(f"p is {p}; expected a share of values to zero, 0 up to, not including, 1.")
        self.p = p

    def forward(self, values: Tensor) -> Tensor:
        """Return `values` of any shape, some of them zeroed."""
        if not self.training or self.p == 0.0:
            return values
        zeroed = round(self.p * LEVELS)
        if values.device.type != "cpu" or not 0 < zeroed < LEVELS:
            return F.dropout(values, self.p, training=True)
        draws = torch.empty((values.numel() + 7) // 8, dtype=torch.int64).random_(-(2**63), None)
        bytes_ = draws.view(torch.uint8)[: values.numel()].view(values.shape)
        # 0 below the threshold, else the scale: float arithmetic is vectorised, comparing bytes is not.
        factors = bytes_.to(values.dtype).sub_(zeroed - 1).clamp_(0.0, 1.0).mul_(LEVELS / (LEVELS - zeroed))
        return values * factors

    def extra_repr(self) -> str:
        """Return what `print(module)` shows."""
        return f"p={self.p}"
