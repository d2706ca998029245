"""A grading codec with an answer that can be worked out: sigmoid(words / 10 - 1) of the way from 1 to 6."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

PROMPTS = ({"prompt": "a", "low": 1.0, "high": 6.0, "step": 1.0, "traits": {}},)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A text."""

    prompt: str
    text: str
    explain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Its score."""

    score: float


@dataclass(frozen=True, kw_only=True)
class Codec:
    """Knows one prompt."""

    def to_json(self) -> dict[str, Any]:
        """Return nothing: there is no vocabulary."""
        return {}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Codec":
        """Rebuild from `to_json`'s value."""
        return cls()

    def grading_prompts(self) -> Sequence[Mapping[str, Any]]:
        """Return the one prompt."""
        return PROMPTS

    def encode(self, request: Request) -> list[npt.NDArray[np.float32]]:
        """Return one row."""
        return [np.array([len(request.text.split()) / 10 - 1], np.float32)]

    def batch(self, rows: Sequence[npt.NDArray[np.float32]]) -> dict[str, npt.NDArray[Any]]:
        """Return `scores` (B, 1) float32."""
        return {"scores": np.stack(rows)}

    def decode(
        self, request: Request, rows: Sequence[Any], outputs: Sequence[Mapping[str, npt.NDArray[Any]]]
    ) -> Answer:
        """Return the nearest score."""
        return Answer(score=float(np.floor(1.5 + 5 * outputs[0]["probability"][0])))

    def golden_requests(self, count: int, seed: int) -> list[Request]:
        """Return texts of several lengths."""
        return [Request(prompt="a", text="word " * (seed + at)) for at in range(count)]
