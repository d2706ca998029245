"""Traits of a prompt: ridge regressions beside the score's, each from the texts that have it."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
LEAST_FOR_TRAIT = 10
"""A trait with fewer scores of a prompt's training texts is not learned."""


def fit_traits(
    kernel: Floats, traits_NK: Floats, ridge: float, weight_N: Floats
) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """Return dual weights (N, K) and means (K,) of traits, and which are learned: from the texts that have them."""
    count = traits_NK.shape[1]
    dual_NK, centre_K, has = np.zeros(traits_NK.shape), np.zeros(count), np.zeros(count, np.bool_)
    for k in range(count):
        scored = np.flatnonzero(np.isfinite(traits_NK[:, k]))
        if len(scored) < LEAST_FOR_TRAIT:
            continue
        has[k] = True
        target = traits_NK[scored, k]
        centre_K[k] = np.average(target, weights=weight_N[scored])
        inner = kernel[np.ix_(scored, scored)] + np.diag(ridge / weight_N[scored])
        dual_NK[scored, k] = np.linalg.solve(inner, target - centre_K[k])
    return dual_NK, centre_K, has
