"""Stretch and intervals: against scikit-learn's kappa over all factors, and by hand."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from components.writing.calibration import calibrate
from components.writing.scale import Scale

STRETCHES = (0.8, 1.0, 1.2, 1.6)
SCALE = Scale(low=1, high=7)


def test_the_stretch_is_the_one_whose_rounded_scores_agree_best() -> None:
    source = np.random.default_rng(4)
    truth = source.normal(size=400)
    score = np.clip(np.rint(4.0 + 1.5 * truth), 1, 7)
    standard = 0.6 * truth + 0.3 * source.normal(size=400)  # shrunken, as a regression's predictions are
    found = calibrate(
        standard, score, centre=4.0, spread=1.5, scale=SCALE, stretches=STRETCHES, confidence=0.9, regions=1
    )
    kappas = {
        factor: cohen_kappa_score(
            score.astype(int),
            np.clip(np.floor(4.0 + 1.5 * factor * standard + 0.5), 1, 7).astype(int),
            weights="quadratic",
        )
        for factor in STRETCHES
    }
    assert found.qwk == pytest.approx(max(kappas.values()))
    assert kappas[found.stretch] == max(kappas.values())
    assert found.stretch > 1.0
    inside = np.abs(score - (4.0 + 1.5 * found.stretch * standard)) <= found.intervals.half_width_R[0]
    assert inside.sum() == 361  # ceil(401 * 0.9)


def test_without_texts_nothing_is_chosen_and_the_interval_is_the_rubric() -> None:
    none = np.zeros(0)
    found = calibrate(none, none, centre=4.0, spread=1.5, scale=SCALE, stretches=(1.1,), confidence=0.9, regions=2)
    assert (found.stretch, found.qwk) == (1.1, 0.0)
    assert found.intervals.half_width_R.tolist() == [6.0, 6.0]
