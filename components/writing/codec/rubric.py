"""Arithmetic of a rubric's scale: to [0, 1] and back, and to the scores that a teacher can give."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Rubric:
    """A scale from `low` to `high` in steps of `step`, both ends included.

    Raises ValueError when `high` is not a whole number of steps above `low`.
    """

    low: float
    high: float
    step: float = 1.0

    def __post_init__(self) -> None:
        ends = (self.low, self.high, self.step)
        if not all(map(math.isfinite, ends)) or self.step <= 0 or self.high <= self.low:
            raise ValueError(
                f"A rubric from {self.low} to {self.high} in steps of {self.step}; expected a highest score above the "
                "lowest and a step above 0."
            )
        steps = (self.high - self.low) / self.step
        if abs(steps - round(steps)) > 1e-6:
            raise ValueError(
                f"A rubric from {self.low} to {self.high} in steps of {self.step}; expected a whole number of steps."
            )

    def scaled(self, score: float) -> float:
        """Return where a score lies between the lowest (0) and the highest (1)."""
        return (score - self.low) / (self.high - self.low)

    def unscaled(self, share: float) -> float:
        """Return the score at a share of the range: the inverse of `scaled`."""
        return self.low + share * (self.high - self.low)

    def clipped(self, score: float) -> float:
        """Return the score, or the end of the range that it is beyond."""
        return min(max(score, self.low), self.high)

    def rounded(self, score: float) -> float:
        """Return the nearest score that can be given; a half goes up, as teachers round."""
        steps = math.floor((self.clipped(score) - self.low) / self.step + 0.5)
        return self.clipped(self.low + steps * self.step)
