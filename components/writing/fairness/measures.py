"""What is measured in each group of students, from sums over the rows of each prompt and group.

Prompts have scales of their own, so scores are put in units of the standard deviation of the human scores that all
students (of the groups shown) got for the prompt; for one prompt every measure is the usual one (RSMTool's). Kappa and
correlation are pooled within prompts: a group that was given easier prompts is not thereby agreed on better.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.fairness.summary import SummaryOf
from components.writing.agreement import Pair, pair_values, ratio
from components.writing.prmse import prmse_of, prmse_values, rater_factor
from components.writing.scale import RowScales, Scale
from components.writing.sums import side_by_side

Floats = npt.NDArray[np.float64]

MEANINGS = {
    "qwk": "quadratic weighted kappa of the rounded prediction and the human score, pooled within prompts",
    "qwk_continuous": "the same of the prediction before rounding (Haberman 2019), as RSMTool reports it",
    "human_qwk": "the same of raters 1 and 2, on the double-scored responses",
    "pearson": "correlation of the prediction before rounding and the human score, pooled within prompts",
    "human_pearson": "correlation of raters 1 and 2, on the double-scored responses, pooled within prompts",
    "exact": "share of responses where the rounded prediction is the human score",
    "human_exact": "share of double-scored responses to which raters 1 and 2 gave the same score",
    "adjacent": "share of responses where the rounded prediction is at most one step off",
    "rmse": "root mean squared difference of the prediction before rounding and the human score, as a share of the "
    "rubric's range",
    "prmse": "1 - error in predicting the true score / variance of true scores, on responses with ratings (Loukina et "
    "al. 2020), pooled within prompts",
    "mean_error": "mean of prediction - human score, as a share of the rubric's range; above 0 the group gets too much",
    "smd": "mean of prediction - human score, in standard deviations of the prompt's human scores (of all students in "
    "the groups shown)",
    "dsm": "mean of the prediction's z-score - that of the human score, z by all students' mean and standard deviation "
    "for the prompt; 0 over all students of the groups shown (difference of standardised means, RSMTool)",
    "abstained": "share of responses that the model gave no score",
}
SHARES = ("exact", "human_exact", "adjacent", "abstained")
FROM_ZERO = ("dsm",)
OF_TWO_RATERS = ("human_qwk", "human_pearson", "human_exact", "prmse")
"""Measures that need double-scored responses."""
SUMMARIES = {
    "worst_group_qwk": SummaryOf(kind="lowest", measures=("qwk",), meaning="kappa of the group where it is lowest"),
    "qwk_gap": SummaryOf(kind="difference", measures=("qwk",), meaning="largest less smallest kappa"),
    "max_dsm": SummaryOf(kind="farthest", measures=("dsm",), meaning="largest |dsm| of a group"),
    "max_smd": SummaryOf(kind="farthest", measures=("smd",), meaning="largest |smd| of a group"),
    "mean_error_gap": SummaryOf(
        kind="difference", measures=("mean_error",), meaning="largest less smallest mean error"
    ),
    "worst_group_prmse": SummaryOf(kind="lowest", measures=("prmse",), meaning="PRMSE of the group where it is lowest"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WritingRows:
    """Held-out responses with a human score, N rows of S students and P prompts."""

    student: npt.NDArray[np.int64]
    """(N,) index of the student, each of 0 ... S - 1 at least once."""
    prompt: npt.NDArray[np.int64]
    """(N,) index of the prompt."""
    score: Floats
    """(N,) the human score."""
    raw: Floats
    """(N,) the prediction before rounding."""
    rounded: Floats
    """(N,) the score that the model gives."""
    ratings: Floats
    """(N, K) single raters' scores, NaN where there is none."""
    is_graded: npt.NDArray[np.bool_]
    """(N,) False where the model abstained."""
    scales: Sequence[Scale]
    """(P,)."""


def row_values(rows: WritingRows) -> tuple[Floats, list[slice]]:
    """Return (N, M) what each row adds to the sums, and the columns of: rounded, raw, raters, abstentions, PRMSE."""
    scales = RowScales.of(rows.scales, rows.prompt)
    human, raw, rounded = (scales.in_steps(values) for values in (rows.score, rows.raw, rows.rounded))
    both = rows.is_graded & (
        np.isfinite(rows.ratings[:, :2]).all(axis=1) if rows.ratings.shape[1] > 1 else np.zeros(len(human), np.bool_)
    )
    first, second = (rows.ratings[:, 0], rows.ratings[:, 1]) if both.any() else (human, human)
    refused = np.stack([np.ones(len(human)), ~rows.is_graded], axis=1)
    return side_by_side(
        [
            pair_values(human, rounded, rows.is_graded),
            pair_values(human, raw, rows.is_graded),
            pair_values(first, second, both),
            refused,
            prmse_values(np.where(rows.is_graded, raw, 0.0), _ratings_in_steps(rows, scales)),
        ]
    )


def _ratings_in_steps(rows: WritingRows, scales: RowScales) -> Floats:
    """Return (N, K) ratings of graded responses on the score's scale, NaN where no factor brings them there."""
    out = np.full(rows.ratings.shape, np.nan)
    for p, scale in enumerate(rows.scales):
        own = (rows.prompt == p) & rows.is_graded
        factor = rater_factor(rows.score[own], rows.ratings[own], scale.step)
        if factor is not None:
            out[own] = (factor * rows.ratings[own] - scales.low[own][:, None]) / scales.step[own][:, None]
    return out


def measures_of(
    sums: Floats, places: Sequence[slice], scales: Sequence[Scale], used: npt.NDArray[np.bool_]
) -> dict[str, Floats]:
    """Return measure -> (..., G) from (..., P, G, M) sums; NaN where the numbers do not decide it.

    Args:
        sums: of the columns of `row_values`, over the rows of each prompt and group; the groups hold all students.
        places: the columns, from `row_values`.
        scales: (P,).
        used: (P, G) prompts with enough responses of the group for kappa and correlation.
    """
    rounded, raw, raters = (Pair(sums[..., place]) for place in places[:3])
    everybody, both = (Pair(sums[..., place].sum(axis=-2, keepdims=True)) for place in places[1:3])  # (..., P, 1)
    unit, rater_unit = everybody.variance_x, both.variance_x
    asked, refused = np.moveaxis(sums[..., places[3]].sum(axis=-3), -1, 0)
    n = raw.n.sum(axis=-2)
    widths = np.array([s.points - 1 for s in scales], np.float64)[:, None]
    apart = raw["y"] - raw["x"]
    z_x = ratio(raw["x"] - raw.n * everybody.mean_x, everybody.sd_x())
    z_y = ratio(raw["y"] - raw.n * everybody.mean_y, everybody.sd_y())
    return {
        "qwk": pooled_qwk(rounded, unit, used),
        "qwk_continuous": pooled_qwk(raw, unit, used),
        "human_qwk": pooled_qwk(raters, rater_unit, used),
        "pearson": pooled_pearson(raw, unit, used),
        "human_pearson": pooled_pearson(raters, rater_unit, used),
        "exact": ratio(rounded["exact"].sum(axis=-2), n),
        "human_exact": ratio(raters["exact"].sum(axis=-2), raters.n.sum(axis=-2)),
        "adjacent": ratio(rounded["adjacent"].sum(axis=-2), n),
        "rmse": np.sqrt(ratio((raw["squared"] / widths**2).sum(axis=-2), n)),
        "prmse": pooled_prmse(sums[..., places[4]], unit, used),
        "mean_error": ratio((apart / widths).sum(axis=-2), n),
        "smd": _mean(ratio(apart, everybody.sd_x()), raw.n),
        "dsm": _mean(z_y - z_x, raw.n),
        "abstained": ratio(refused, asked),
    }


def pooled_qwk(pair: Pair, unit: Floats, used: npt.NDArray[np.bool_]) -> Floats:
    """Return (..., G) kappa over prompts: the sum of each prompt's 2 cov over the sum of var x + var y + (mean gap)^2.

    Both in units of the prompt's variance and weighted by rows. NaN where either score is all one value within every
    prompt: a constant's agreement says nothing of the group.

    Args:
        pair: (..., P, G).
        unit: (..., P, 1) variance that a prompt's sums are divided by.
        used: (P, G) False for prompts that are left out.
    """
    x, y = _summed(pair.variance_x, pair, unit, used), _summed(pair.variance_y, pair, unit, used)
    gap = _summed((pair.mean_x - pair.mean_y) ** 2, pair, unit, used)
    return np.where((x > 0) & (y > 0), ratio(2.0 * _summed(pair.covariance, pair, unit, used), x + y + gap), np.nan)


def pooled_pearson(pair: Pair, unit: Floats, used: npt.NDArray[np.bool_]) -> Floats:
    """Return (..., G) the correlation within prompts; arguments as in `pooled_qwk`."""
    x, y = _summed(pair.variance_x, pair, unit, used), _summed(pair.variance_y, pair, unit, used)
    return ratio(_summed(pair.covariance, pair, unit, used), np.sqrt(x * y))


def pooled_prmse(sums: Floats, unit: Floats, used: npt.NDArray[np.bool_]) -> Floats:
    """Return (..., G) 1 - error of the true score / variance of true scores, each summed over prompts.

    Both in units of the prompt's variance and weighted by ratings; with one prompt it is `prmse_of`. Arguments as in
    `pooled_qwk`, the sums those of `prmse_values`.
    """
    parts = prmse_of(sums)
    true = ratio(sums[..., 1] * parts["true_variance"], unit)
    missed = (1.0 - parts["prmse"]) * true
    there = used & np.isfinite(true)
    top = np.where(there, missed, 0.0).sum(axis=-2)
    return 1.0 - ratio(top, np.where(there, true, 0.0).sum(axis=-2))


def _summed(values: Floats, pair: Pair, unit: Floats, used: npt.NDArray[np.bool_]) -> Floats:
    """Return (..., G) the sum over prompts of n * values / unit."""
    shares = ratio(pair.n * values, unit)
    return np.asarray(np.where(used & np.isfinite(shares), shares, 0.0).sum(axis=-2))


def _mean(totals: Floats, n: Floats) -> Floats:
    """Return (..., G) the sum of (..., P, G) totals over the rows of those prompts that have one."""
    there = np.isfinite(totals)
    return ratio(np.where(there, totals, 0.0).sum(axis=-2), np.where(there, n, 0.0).sum(axis=-2))
