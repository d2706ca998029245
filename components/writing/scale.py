"""The scale of a prompt's rubric, and a raw prediction's place on it.

The same arithmetic as in the codec that a release carries; this one works on whole arrays.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from components.errors import SchemaError

Floats = npt.NDArray[np.float64]

SINGLE = 1e-4
"""A value this near to a score, in steps, is the score: the difference is single precision's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Scores from `low` to `high` in steps of `step`, both ends included."""

    low: float
    high: float
    step: float = 1.0

    @property
    def points(self) -> int:
        """How many scores there are to give."""
        return round((self.high - self.low) / self.step) + 1

    @classmethod
    def from_json(cls, value: Mapping[str, Any], what: str) -> Self:
        """Return the scale of an object with `low`, `high` and perhaps `step`; `what` names it in a message.

        Raises:
            SchemaError: the numbers make no scale.
        """
        try:
            found = cls(low=float(value["low"]), high=float(value["high"]), step=float(value.get("step", 1.0)))
        except (KeyError, TypeError, ValueError):
            raise SchemaError(
                f"The scale of {what} has no numbers `low` and `high`; it has {sorted(value)}. Run ingest "
                "and preprocess again."
            ) from None
        if not (np.isfinite([found.low, found.high]).all() and found.low < found.high and found.step > 0):
            raise SchemaError(
                f"The scale of {what} goes from {found.low} to {found.high} in steps of {found.step}; expected a "
                "highest score above the lowest and a step above 0. Correct the rubric's range in the configuration."
            )
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptScale:
    """A prompt and the scales of its score and of its traits."""

    prompt: str
    score: Scale
    traits: Mapping[str, Scale] = field(default_factory=dict)


def prompt_scales(prompts: Sequence[Mapping[str, Any]]) -> tuple[PromptScale, ...]:
    """Return the scales in `prompts.json`, or in the `prompts` of a `codec.json`.

    Raises:
        SchemaError: an entry has no prompt or no scale.
    """
    found = []
    for number, entry in enumerate(prompts, start=1):
        if "prompt" not in entry:
            raise SchemaError(
                f"Entry {number} of the prompts names no prompt; it has {sorted(entry)}. Run ingest again."
            )
        name = str(entry["prompt"])
        traits = {
            trait: Scale.from_json(scale, f"trait {trait!r} of prompt {name!r}")
            for trait, scale in (entry.get("traits") or {}).items()
        }
        found.append(PromptScale(prompt=name, score=Scale.from_json(entry, f"prompt {name!r}"), traits=traits))
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowScales:
    """The scale of each of N rows."""

    low: Floats
    high: Floats
    step: Floats

    @classmethod
    def of(cls, scales: Sequence[Scale], prompt: npt.NDArray[np.integer]) -> Self:
        """Return each row's scale; `prompt` (N,) holds indices of `scales`."""
        table = np.array([[s.low, s.high, s.step] for s in scales], np.float64).reshape(-1, 3)[prompt]
        return cls(low=table[:, 0], high=table[:, 1], step=table[:, 2])

    @property
    def width(self) -> Floats:
        """Highest score minus lowest."""
        return self.high - self.low

    def clipped(self, values: Floats) -> Floats:
        """Return the values, or the ends of the scale that they are beyond."""
        return np.clip(values, self.low, self.high)

    def rounded(self, raw: Floats) -> Floats:
        """Return the nearest score that can be given; a half goes up, and what is beyond an end becomes the end.

        numpy's own rounding goes to the even neighbour: 2.5 would become 2 and 3.5 would become 4.
        """
        return np.minimum(self.low + np.floor((self.clipped(raw) - self.low) / self.step + 0.5) * self.step, self.high)

    def snapped(self, values: Floats) -> Floats:
        """Return the values, those within `SINGLE` steps of a score that can be given as this score exactly.

        Arrays of single precision hold 2.7 as 2.7000000477.
        """
        nearest = self.low + np.rint((values - self.low) / self.step) * self.step
        return np.where(np.abs(values - nearest) <= SINGLE * self.step, nearest, values)

    def in_steps(self, values: Floats) -> Floats:
        """Return how many steps above the lowest score each value lies: whole numbers for scores."""
        return (values - self.low) / self.step
