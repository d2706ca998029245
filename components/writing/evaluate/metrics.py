"""The figures of a model's scores by prompt, and their means over prompts, as functions of sums over rows.

| name | of | what |
|---|---|---|
| `qwk` | rounded | quadratic weighted kappa with the human score |
| `qwk_continuous` | raw | the same before rounding (Haberman 2019) |
| `exact`, `adjacent` | rounded | share of the same score; share at most one step apart, the same included |
| `pearson` | raw | correlation with the human score |
| `rmse` | raw | root mean squared difference, as a share of the rubric's range |
| `smd` | raw | (mean prediction - mean human score) / sd of human scores |
| `coverage`, `width` | interval | share of human scores inside; mean width, as a share of the rubric's range |

Over prompts: the plain mean of each prompt's figure, so that a prompt counts as much with few responses as with many;
of `smd` the largest absolute one, as opposite errors must not cancel.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from components.writing.agreement import Pair, ratio
from components.writing.scale import Scale

Floats = npt.NDArray[np.float64]

NAMES = ("qwk", "qwk_continuous", "exact", "adjacent", "pearson", "rmse", "smd", "coverage", "width")
MEANINGS = {
    "qwk": "quadratic weighted kappa of the rounded prediction and the human score",
    "qwk_continuous": "the same of the prediction before rounding (Haberman 2019), as RSMTool reports it",
    "exact": "share of responses where the rounded prediction is the human score",
    "adjacent": "share of responses where the two are at most one step apart",
    "pearson": "correlation of the prediction before rounding and the human score",
    "rmse": "root mean squared difference of the two, as a share of the rubric's range",
    "smd": "(mean prediction - mean human score) / standard deviation of the human scores; over prompts the largest "
    "absolute one",
    "coverage": "share of human scores inside the model's interval",
    "width": "mean width of the interval, as a share of the rubric's range",
}
LARGEST = "smd"
"""The figure whose largest absolute value stands for all prompts; of the others the mean does."""
HUMAN_NAMES = ("qwk", "exact", "adjacent", "pearson", "model_qwk", "drop")
HUMAN_MEANINGS = {
    "qwk": "quadratic weighted kappa of raters 1 and 2",
    "exact": "share of responses to which both raters gave the same score",
    "adjacent": "share of responses where the two raters are at most one point apart",
    "pearson": "correlation of the two raters",
    "model_qwk": "quadratic weighted kappa of model and human score on the same, double-scored responses",
    "drop": "qwk of the raters minus that of the model on the same responses",
}


def agreement_of(rounded: Pair, raw: Pair, scales: Sequence[Scale]) -> dict[str, Floats]:
    """Return name -> (..., P) the figures that need no interval.

    Args:
        rounded: (..., P) sums of human score and rounded prediction.
        raw: (..., P) sums of human score and prediction before rounding.
        scales: (P,) of the prompts.
    """
    steps = np.array([s.points - 1 for s in scales], np.float64)
    return {
        "qwk": rounded.qwk(),
        "qwk_continuous": raw.qwk(),
        "exact": rounded.exact(),
        "adjacent": rounded.adjacent(),
        "pearson": raw.pearson(),
        "rmse": raw.rmse() / steps,
        "smd": raw.smd(),
    }


def intervals_of_model(sums: Floats) -> dict[str, Floats]:
    """Return `coverage` and `width` from (..., P, 3) sums of `interval_values`."""
    there, covered, width = np.moveaxis(sums, -1, 0)
    return {"coverage": ratio(covered, there), "width": ratio(width, there)}


def humans_of(raters: Pair, model: Pair) -> dict[str, Floats]:
    """Return name -> (..., P) the figures of two raters beside the model's on the same responses.

    Where either rater gave one score only, their kappa is NaN: it says nothing of how well raters agree.
    """
    varied = (raters.variance_x > 0) & (raters.variance_y > 0)
    both = np.where(varied, raters.qwk(), np.nan), model.qwk()
    drop = both[0] - both[1]
    human, own = (np.where(np.isnan(drop), np.nan, kappa) for kappa in both)
    return {
        "qwk": human,
        "exact": raters.exact(),
        "adjacent": raters.adjacent(),
        "pearson": raters.pearson(),
        "model_qwk": own,
        "drop": drop,
    }


def over_prompts(
    figures: Mapping[str, Floats], point: Mapping[str, Floats], counted: npt.NDArray[np.bool_]
) -> dict[str, Floats]:
    """Return name -> (...,) over the prompts that count and that have the figure.

    Args:
        figures: name -> (..., P).
        point: name -> (P,) without resampling: which prompts have the figure is decided there, once for all resamples.
        counted: (P,) prompts with enough responses.
    """
    out = {}
    for name, values in figures.items():
        there = counted & np.isfinite(point[name])
        if not there.any():
            out[name] = np.full(values.shape[:-1], np.nan)
        elif name == LARGEST:
            at = int(np.argmax(np.where(there, np.abs(point[name]), -1.0)))
            out[name] = values[..., at]
        else:
            out[name] = values[..., there].mean(axis=-1)
    return out
