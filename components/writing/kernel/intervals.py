"""Intervals of the human score from validation texts: split conformal prediction, by region of the predicted score.

Of n residuals of texts that the model was not fitted on, the (n + 1) c-th smallest covers a new one with probability c
at least, and at most c + 1 / (n + 1), whatever the model (Vovk, Gammerman & Shafer 2005; by region: their section 4.5).

Shapes: V validation texts, R regions.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
LEAST_PER_REGION = 60
"""With fewer texts in a region its width would be a matter of chance; there are fewer regions then."""


@dataclass(frozen=True, slots=True)
class Intervals:
    """Half widths by region of the predicted score."""

    edges_R: Floats
    """A prediction is in region r when it is above r of these; unused ones are infinite."""
    half_width_R: Floats


def fit_intervals(raw_V: Floats, score_V: Floats, confidence: float, regions: int) -> Intervals:
    """Return half widths that hold the given share of human scores.

    Args:
        raw_V: predictions for texts that the model was not fitted on.
        score_V: human scores.
        confidence: in (0, 1).
        regions: at most so many; all get an entry.
    """
    used = max(1, min(regions, len(raw_V) // LEAST_PER_REGION))
    edges = np.full(regions, np.inf)
    edges[: used - 1] = np.quantile(raw_V, [r / used for r in range(1, used)]) if used > 1 else ()
    region = (raw_V[:, None] > edges).sum(axis=1)
    residuals = np.abs(score_V - raw_V)
    widths = np.zeros(regions)
    for r in range(used):
        widths[r] = conformal_quantile(residuals[region == r] if used > 1 else residuals, confidence)
    widths[used:] = widths[used - 1]
    return Intervals(edges, widths)


def conformal_quantile(residuals: Floats, confidence: float) -> float:
    """Return the ceil((n + 1) c)-th smallest residual; the largest where there are too few for that."""
    place = math.ceil((len(residuals) + 1) * confidence - 1e-9)
    return float(np.sort(residuals)[min(place, len(residuals)) - 1])
