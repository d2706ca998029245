"""PRMSE: how well a score predicts the true score, which raters' errors hide, where some responses have two ratings.

Loukina, Madnani, Cahill, Yao, Johnson, Riordan & McCaffrey (2020), "Using PRMSE to evaluate automated scoring systems
in the presence of label noise", as RSMTool computes it. With n_i ratings of response i, their mean m_i and sum of
squared deviations ss_i, N responses, M = sum n_i, m = sum n_i m_i / M, and the prediction p_i:

    error variance  v = sum ss_i / sum (n_i - 1)
    true variance   t = (sum n_i (m_i - m)^2 - (N - 1) v) / (M - sum n_i^2 / M)
    error of truth  e = (sum n_i (m_i - p_i)^2 - N v) / M
    PRMSE             = 1 - e / t

All are functions of sums over responses, so that resampling by student costs one weighted sum.
"""

import numpy as np
import numpy.typing as npt

from components.writing.agreement import ratio

Floats = npt.NDArray[np.float64]

COLUMNS = ("rated", "n", "nn", "sum", "between", "within", "freedom", "error")


def prmse_values(prediction: Floats, ratings: Floats) -> Floats:
    """Return (N, len(COLUMNS)): what each response adds to each sum; rows without a rating add nothing.

    Args:
        prediction: (N,) in the ratings' unit.
        ratings: (N, K) NaN where there is none.
    """
    there = np.isfinite(ratings)
    n = there.sum(axis=1).astype(np.float64)
    total = np.where(there, ratings, 0.0).sum(axis=1)
    mean = np.divide(total, n, out=np.zeros_like(total), where=n > 0)
    within = (np.where(there, ratings - mean[:, None], 0.0) ** 2).sum(axis=1)
    rated = (n > 0).astype(np.float64)
    return np.stack(
        [rated, n, n * n, total, n * mean**2, within, np.maximum(n - 1.0, 0.0), n * (mean - prediction) ** 2], axis=1
    )


def prmse_of(sums: Floats) -> dict[str, Floats]:
    """Return `prmse`, `error_variance` and `true_variance` from (..., len(COLUMNS)) sums.

    NaN where no response has two ratings, or where the true variance is not above 0: raters then differ by no more than
    their own errors make them.
    """
    rated, n, squares, total, between, within, freedom, error = np.moveaxis(sums, -1, 0)
    noise = ratio(within, freedom)
    spread = between - total * ratio(total, n)
    true = ratio(spread - (rated - 1.0) * noise, n - ratio(squares, n))
    missed = ratio(error - rated * noise, n)
    return {
        "prmse": 1.0 - ratio(missed, true),
        "error_variance": noise,
        "true_variance": np.where(true > 0, true, np.nan),
    }


def rater_factor(score: Floats, ratings: Floats, step: float) -> float | None:
    """Return what ratings are multiplied by to be on the score's scale: 1, or 2 where the score is two raters' sum.

    None where neither brings the mean of raters 1 and 2 to within a step of the score in half of the double-scored
    responses: the raters then used a scale that nothing here knows; or where no response is double-scored.

    Args:
        score: (N,) resolved scores.
        ratings: (N, K) NaN where there is none.
        step: of the score's scale.
    """
    pair = ratings[:, :2]
    both = np.isfinite(pair).all(axis=1) if pair.shape[1] == 2 else np.zeros(len(pair), np.bool_)
    if not both.any():
        return None
    mean = pair[both].mean(axis=1)
    apart = {factor: np.abs(score[both] - factor * mean) for factor in (1.0, 2.0)}
    best = min(apart, key=lambda factor: float(apart[factor].mean()))
    return best if float(np.median(apart[best])) <= step else None
