"""A second, quite different codec: a list of scores in, one number out."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Scores, oldest first."""

    scores: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is expected."""

    value: float


@dataclass(frozen=True, kw_only=True)
class Codec:
    """At most `most` scores."""

    most: int

    def to_json(self) -> dict[str, Any]:
        """Return the setting."""
        return {"most": self.most}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Codec":
        """Rebuild from `to_json`'s value."""
        return cls(most=int(value["most"]))

    def encode(self, request: Request) -> list[npt.NDArray[np.float32]]:
        """Return one row."""
        if not 0 < len(request.scores) <= self.most:
            raise ValueError(f"scores must have 1 to {self.most} entries.")
        return [np.array(request.scores, np.float32)]

    def batch(self, rows: Sequence[npt.NDArray[np.float32]]) -> dict[str, npt.NDArray[Any]]:
        """Return `scores` (B, T) float32, zeros at the right."""
        out = np.zeros((len(rows), max(len(r) for r in rows)), np.float32)
        for b, row in enumerate(rows):
            out[b, : len(row)] = row
        return {"scores": out}

    def decode(
        self,
        request: Request,
        rows: Sequence[npt.NDArray[np.float32]],
        outputs: Sequence[Mapping[str, npt.NDArray[Any]]],
    ) -> Answer:
        """Return the probability at the last score."""
        return Answer(value=float(outputs[0]["probability"][len(rows[0]) - 1]))

    def golden_requests(self, count: int, seed: int) -> list[Request]:
        """Return random requests of every length."""
        source = random.Random(seed)
        return [
            Request(scores=tuple(source.uniform(-1, 1) for _ in range(source.randint(1, self.most))))
            for _ in range(count)
        ]
