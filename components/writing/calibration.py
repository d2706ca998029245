"""From standardised predictions to scores on a rubric: what is chosen on validation texts, for each prompt.

A regression keeps nearer to the mean than human scores do, and rounding would leave a rubric's ends unused; so raw
scores are stretched about the mean, by the factor that agrees best with the human scores of the validation texts. The
same texts give the intervals (`components/writing/kernel/intervals.py`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from components.writing.kernel.choices import weighted_kappa
from components.writing.kernel.intervals import Intervals, fit_intervals
from components.writing.scale import RowScales, Scale

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """What was chosen for one prompt."""

    stretch: float
    qwk: float
    """Of the rounded scores, on the texts that chose the stretch; 0 where there are none."""
    intervals: Intervals


def calibrate(
    standard_V: Floats,
    score_V: Floats,
    *,
    centre: float,
    spread: float,
    scale: Scale,
    stretches: Sequence[float],
    confidence: float,
    regions: int,
) -> Calibrated:
    """Return the stretch with the largest QWK (the first of equals), and the intervals of what it gives.

    Args:
        standard_V: predictions in standard deviations of the prompt's training scores, from their mean.
        score_V: human scores, in points.
        centre: mean of the training scores.
        spread: their standard deviation.
        scale: of the prompt.
        stretches: tried in this order.
        confidence: share of human scores within the intervals.
        regions: of the predicted score with widths of their own, at most.
    """
    if not len(score_V):
        unknown = Intervals(np.full(regions, np.inf), np.full(regions, scale.high - scale.low))
        return Calibrated(stretch=stretches[0], qwk=0.0, intervals=unknown)
    rows = RowScales.of([scale], np.zeros(len(score_V), np.int64))
    best, stretch = -math.inf, stretches[0]
    for factor in stretches:
        kappa = weighted_kappa(score_V, rows.rounded(centre + spread * factor * standard_V))
        if kappa > best:
            best, stretch = kappa, factor
    raw_V = centre + spread * stretch * standard_V
    return Calibrated(stretch=stretch, qwk=best, intervals=fit_intervals(raw_V, score_V, confidence, regions))
