"""Intervals that hold a human's score as often as they say: split conformal prediction, a margin for each prompt.

Margins come from responses that the model was not fitted on. Where these and the new responses are exchangeable, the
interval prediction +- margin holds a human's score at least so often, whatever the model is (Vovk, Gammerman & Shafer
2005; Lei et al. 2018, theorem 2.2): on average over responses, not for each score point.
"""

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def margin_of(residuals: Floats, confidence: float) -> float:
    """Return the ceil((n + 1) * confidence)-th smallest of n absolute residuals; infinite where n is too small for it.

    Args:
        residuals: (n,) human score - prediction, of responses that the model was not fitted on.
        confidence: share of human scores that the interval is to hold, in (0, 1).
    """
    n = len(residuals)
    rank = math.ceil((n + 1) * confidence - 1e-9)
    return float(np.sort(np.abs(residuals))[rank - 1]) if rank <= n else math.inf


def prompt_margins(
    residuals: Floats, prompt: npt.NDArray[np.integer], ranges: Floats, *, confidence: float, least: int = 50
) -> Floats:
    """Return (P,) a margin for each prompt, never more than its range.

    Args:
        residuals: (N,) human score - prediction, on the prompt's scale.
        prompt: (N,) index of the prompt.
        ranges: (P,) highest score - lowest.
        confidence: as in `margin_of`.
        least: a prompt with fewer residuals takes the margin of all prompts, by share of the range.
    """
    pooled = margin_of(residuals / ranges[prompt], confidence)
    own = [residuals[prompt == p] for p in range(len(ranges))]
    found = [
        margin_of(its, confidence) if len(its) >= least else pooled * width
        for its, width in zip(own, ranges, strict=True)
    ]
    return np.minimum(np.array(found, np.float64), ranges)
