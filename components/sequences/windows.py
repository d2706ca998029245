"""The windows of one split of a SequenceDataset, mapped into memory, and their gathering into padded batches.

Shapes: N steps, W windows, B windows of a batch, T steps (the batch's longest).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch


@dataclass(frozen=True, slots=True)
class Windows:
    """Flat arrays over steps, and where each window starts and how long it is."""

    arrays: Mapping[str, npt.NDArray[Any]]  # Any: each array has its own dtype
    """By name; the first axis of each is N."""
    starts_W: npt.NDArray[np.int64]
    lengths_W: npt.NDArray[np.int32]
    of_windows: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)  # Any: as above
    """By name in a batch; the first axis of each is W."""

    @classmethod
    def open(cls, folder: Path, split: str, names: Sequence[str], of_windows: Mapping[str, str] | None = None) -> Self:
        """Map the named arrays of `folder/split`, as `components/preprocess/layout.py` writes them.

        `of_windows` names arrays with an entry for each window: name in a batch -> name of the file.
        """

        def mapped(name: str) -> npt.NDArray[Any]:
            return np.load(folder / split / f"{name}.npy", mmap_mode="r")  # type: ignore[no-any-return]

        own = {name: mapped(file) for name, file in (of_windows or {}).items()}
        return cls({name: mapped(name) for name in names}, mapped("starts"), mapped("lengths"), own)

    @property
    def steps(self) -> int:
        """Steps of all windows."""
        return int(self.lengths_W.sum())

    def batch(self, windows: npt.NDArray[np.int64]) -> dict[str, torch.Tensor]:
        """Return each array as (B, T, ...), zeros at the right, with `mask` (true where a step is) and `index` (flat).

        Those of windows are (B, ...). Where the mask is false, `index` is 0. One gather for each array; no Python work
        per window.
        """
        lengths_B = self.lengths_W[windows]
        steps_T = np.arange(int(lengths_B.max()))
        mask_BT = steps_T < lengths_B[:, None]
        index_BT = self.starts_W[windows][:, None] + steps_T
        is_full = bool(mask_BT.all())
        if not is_full:
            index_BT *= mask_BT
        out = {}
        for name, array in self.arrays.items():
            gathered = array[index_BT]
            if not is_full:
                gathered[~mask_BT] = 0
            out[name] = torch.from_numpy(gathered)
        out |= {name: torch.from_numpy(array[windows]) for name, array in self.of_windows.items()}
        out["mask"] = torch.from_numpy(mask_BT)
        out["index"] = torch.from_numpy(index_BT)
        return out
