"""A grading codec small enough to know every answer: the score is the number of words, the rubric goes from 0 to 6."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

PROMPTS = ("a", "b")
LONGEST = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    prompt: str
    text: str
    explain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    score: float | None = None
    raw: float | None = None
    interval: tuple[float, float] | None = None
    traits: dict[str, float] = field(default_factory=dict)
    abstained: str | None = None
    reason: str | None = None


class Codec:
    """Refuses unknown prompts and texts over LONGEST characters; abstains from empty texts."""

    def to_json(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Codec":
        return cls()

    def encode(self, request: Request) -> list[int]:
        if request.prompt not in PROMPTS:
            raise ValueError(f"Prompt {request.prompt!r} is unknown.")
        if len(request.text) > LONGEST:
            raise ValueError(f"The text has {len(request.text)} characters.")
        return [len(request.text.split())]

    def batch(self, rows: Sequence[int]) -> dict[str, npt.NDArray[Any]]:
        return {"words": np.array(rows, np.float64)}

    def decode(self, request: Request, rows: Sequence[int], outputs: Sequence[Mapping[str, Any]]) -> Answer:
        if not rows[0]:
            return Answer(abstained="empty", reason="There is no text.")
        raw = float(outputs[0]["raw"])
        traits = {"style": 1.0} if request.prompt == "b" else {}
        return Answer(score=float(np.floor(raw + 0.5)), raw=raw, interval=(raw - 1, raw + 1), traits=traits)

    def golden_requests(self, count: int, seed: int) -> list[Request]:
        return [Request(prompt="a", text="word " * (seed + at)) for at in range(count)]


class Model:
    """Gives 0.8 points a word, and remembers how many rows it was given at a time."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, inputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        self.batches.append(len(inputs["words"]))
        return {"raw": np.minimum(inputs["words"] * 0.8, 6.0)}
