"""One split of a text dataset as arrays, memory-mapped, and padded batches of it.

Shapes: R responses, F features, K traits, L n-grams and T tokens of a response at most in a batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from components.mitigation.reweighing import ARRAY
from components.writing.codec import PADDING


@dataclass(frozen=True, slots=True, kw_only=True)
class Ragged:
    """Rows of different lengths, one after the other: row r is `flat[offsets[r]:offsets[r + 1]]`."""

    flat: npt.NDArray[Any]
    offsets: npt.NDArray[np.int64]

    def lengths(self) -> npt.NDArray[np.int64]:
        """Return the rows' lengths."""
        return np.diff(self.offsets)

    def row(self, r: int) -> npt.NDArray[Any]:
        """Return one row."""
        return self.flat[self.offsets[r] : self.offsets[r + 1]]

    def padded(self, rows: Sequence[int], dtype: Any) -> npt.NDArray[Any]:  # Any: what numpy takes for a dtype
        """Return the rows as one array, `PADDING` at the right, at least one column."""
        longest = max([1, *(int(self.offsets[r + 1] - self.offsets[r]) for r in rows)])
        out = np.full((len(rows), longest), PADDING, dtype)
        for b, r in enumerate(rows):
            row = self.row(r)
            out[b, : len(row)] = row
        return out


@dataclass(frozen=True, slots=True, kw_only=True)
class TextArrays:
    """The arrays of one split; see `TextDataset`."""

    prompt_R: npt.NDArray[np.int32]
    features_RF: npt.NDArray[np.float32]
    score_R: npt.NDArray[np.float32]
    traits_RK: npt.NDArray[np.float32]
    ids: Ragged | None
    values: Ragged | None
    tokens: Ragged | None
    group_weight_R: npt.NDArray[np.float32] | None = None
    """How much a training response counts, where responses are weighed by group."""

    @property
    def weight_R(self) -> npt.NDArray[np.float64]:
        """How much each response counts; 1 where none is weighed."""
        if self.group_weight_R is None:
            return np.ones(len(self.prompt_R))
        return self.group_weight_R.astype(np.float64)

    @classmethod
    def open(cls, folder: Path, split: str) -> Self:
        """Open the split of a dataset's folder."""
        place = folder / split

        def ragged(name: str, offsets: str) -> Ragged | None:
            if not (place / f"{name}.npy").is_file():
                return None
            return Ragged(
                flat=np.load(place / f"{name}.npy", mmap_mode="r"), offsets=np.load(place / f"{offsets}_offsets.npy")
            )

        return cls(
            prompt_R=np.load(place / "prompt.npy"),
            features_RF=np.load(place / "features.npy"),
            score_R=np.load(place / "score.npy"),
            traits_RK=np.load(place / "traits.npy"),
            ids=ragged("ids", "ids"),
            values=ragged("values", "ids"),
            tokens=ragged("tokens", "tokens"),
            group_weight_R=np.load(place / f"{ARRAY}.npy") if (place / f"{ARRAY}.npy").is_file() else None,
        )

    def batch(self, rows: Sequence[int]) -> dict[str, npt.NDArray[Any]]:  # Any: each array has its own dtype
        """Return what the codec's `batch` gives for these responses, and `index`, `score` and `traits` beside it.

        Where responses are weighed, `group_weight` too.
        """
        at = np.asarray(rows, np.int64)
        found: dict[str, npt.NDArray[Any]] = {
            "features": self.features_RF[at],
            "prompt": self.prompt_R[at].astype(np.int64),
            "index": at,
            "score": self.score_R[at],
            "traits": self.traits_RK[at],
        }
        if self.group_weight_R is not None:
            found[ARRAY] = self.group_weight_R[at]
        if self.ids is not None and self.values is not None:
            found["ids"] = self.ids.padded(rows, np.int64)
            found["values"] = self.values.padded(rows, np.float32)
        if self.tokens is not None:
            found["tokens"] = self.tokens.padded(rows, np.int64)
        return found
