"""What an application supplies to preprocessing: fitting its codec and encoding steps with it."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy.typing as npt
import polars as pl

from components.app import Codec
from components.preprocess.config import PreprocessConfig


class SequenceEncoder(Protocol):
    """Turns tables of `components/schema.py` into the codec's arrays, one entry per row of `interactions`."""

    def fit(self, interactions: pl.DataFrame, skill_sets: pl.DataFrame, config: PreprocessConfig) -> Codec:
        """Return a codec whose vocabulary comes from training students only.

        Raises NotEnoughDataError when there is nothing to learn from.
        """

    def encode(
        self, interactions: pl.DataFrame, skill_sets: pl.DataFrame, codec: Any
    ) -> Mapping[str, npt.NDArray[Any]]:  # Any: the application's own codec; each array has its own dtype
        """Return flat arrays whose first axis is the rows of `interactions`; vectorised over rows."""
