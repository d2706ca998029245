"""What a grader that is trained knows of its training texts before the first step: scales of targets, and a ridge.

Shapes: P prompts, F features, K traits, M = 1 + K targets (the score first), N training texts.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from components.writing.codec import Codec
from components.writing.codec.features import CLIP
from components.writing.preprocess.arrays import TextArrays

Floats = npt.NDArray[np.float64]
LEAST_FOR_TRAIT = 10
"""A trait with fewer scores of a prompt's training texts is not learned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """Means and spreads of the targets, and the linear part that features alone explain."""

    codec: Codec
    centre_PM: Floats
    spread_PM: Floats
    """1 where a target does not vary, or is not learned."""
    has_trait_PK: npt.NDArray[np.bool_]
    ridge_PMF: Floats
    """Ridge regression of the standardised targets on the standardised features; 0 where a target is not learned. Texts
    that are weighed by group count by their weight; means and spreads are those of the texts as they are."""

    @classmethod
    def of(cls, folder: Path, ridge: float) -> Self:
        """Return those of a dataset's folder; `ridge` is added to the sums of squares of standardised features."""
        codec = Codec.from_json(json.loads((folder / "codec.json").read_text(encoding="utf-8")))
        train = TextArrays.open(folder, "train")
        target_NM = np.concatenate([train.score_R[:, None], train.traits_RK], axis=1).astype(np.float64)
        prompts, targets = len(codec.prompts), target_NM.shape[1]
        centre, spread = np.zeros((prompts, targets)), np.ones((prompts, targets))
        has = np.zeros((prompts, targets - 1), np.bool_)
        weights = np.zeros((prompts, targets, train.features_RF.shape[1]))
        for p, terms in enumerate(codec.prompts):
            standard_NF = np.clip((train.features_RF - terms.mean_F) / terms.sd_F, -CLIP, CLIP).astype(np.float64)
            for m in range(targets):
                rows = np.flatnonzero((train.prompt_R == p) & np.isfinite(target_NM[:, m]))
                if m:
                    has[p, m - 1] = len(rows) >= LEAST_FOR_TRAIT
                    if not has[p, m - 1]:
                        continue
                target = target_NM[rows, m]
                centre[p, m], spread[p, m] = target.mean(), target.std() or 1.0
                x = standard_NF[rows]
                counted = x * train.weight_R[rows, None]
                weights[p, m] = np.linalg.solve(
                    counted.T @ x + ridge * np.eye(x.shape[1]), counted.T @ ((target - centre[p, m]) / spread[p, m])
                )
        return cls(codec=codec, centre_PM=centre, spread_PM=spread, has_trait_PK=has, ridge_PMF=weights)
