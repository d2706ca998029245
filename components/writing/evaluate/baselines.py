"""What a grader is compared with on the same responses: the training mean, and the length of the text alone."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.writing.evaluate.dataset import Split
from components.writing.scale import RowScales

Floats = npt.NDArray[np.float64]

RIDGE = 1.0
"""Strength of the ridge, on the standardised feature."""
LEAST = 3
"""With fewer training responses, a prompt's length says nothing, and the mean stands in."""
TITLES = {"constant": "the training mean", "length": "the length of the text"}
"""How a sentence names each baseline."""
FORMULAS = {
    "constant": "the mean score of the prompt's training responses, for every response",
    "length": f"ridge regression of the score on the logarithm of the number of words, a line for each prompt, "
    f"strength {RIDGE:g} on the standardised feature",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """Predictions of one baseline."""

    title: str
    formula: str
    raw: Floats
    """(N,) for each response of the split, on the rubric's scale."""


def baselines_of(train: Split, test: Split) -> dict[str, Baseline]:
    """Return name -> baseline for every response of `test`; all that is learned comes from `train`.

    `length` is left out where the dataset has no feature of that name.
    """
    raw = {"constant": constant(train, test)}
    if train.length is not None and test.length is not None:
        raw["length"] = by_length(train, test, train.length, test.length)
    return {name: Baseline(title=TITLES[name], formula=FORMULAS[name], raw=values) for name, values in raw.items()}


def constant(train: Split, test: Split) -> Floats:
    """Return the mean training score of each row's prompt; that of all for a new prompt, by share of the range."""
    scales = [s.score for s in test.scales]
    count = np.bincount(train.prompt, minlength=len(scales))
    total = np.bincount(train.prompt, weights=train.score, minlength=len(scales))
    ends = RowScales.of(scales, train.prompt)
    share = float(np.mean((train.score - ends.low) / ends.width)) if train.rows else 0.5
    anywhere = np.array([s.low + share * (s.high - s.low) for s in scales])
    mean = np.divide(total, count, out=anywhere, where=count > 0)
    return np.asarray(mean[test.prompt])


def by_length(train: Split, test: Split, known: Floats, asked: Floats) -> Floats:
    """Return ridge predictions from the length, fitted for each prompt; the mean where there is too little.

    Args:
        train: the training responses.
        test: those to predict.
        known: (N,) the feature of `train`.
        asked: (M,) the feature of `test`.
    """
    from sklearn.linear_model import Ridge  # late: takes a while

    out = constant(train, test)
    for p in range(len(test.scales)):
        own, wanted = train.prompt == p, test.prompt == p
        spread = float(known[own].std()) if own.any() else 0.0
        if own.sum() < LEAST or spread == 0.0 or not wanted.any():
            continue
        middle = float(known[own].mean())
        line = Ridge(alpha=RIDGE).fit(((known[own] - middle) / spread)[:, None], train.score[own])
        out[wanted] = line.predict(((asked[wanted] - middle) / spread)[:, None])
    return out
