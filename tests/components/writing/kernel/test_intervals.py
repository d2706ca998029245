"""Conformal intervals, by hand and by simulation."""

import numpy as np
import pytest

from components.writing.kernel.intervals import conformal_quantile, fit_intervals


@pytest.mark.parametrize(
    ("count", "confidence", "place"), [(9, 0.9, 9), (19, 0.9, 18), (99, 0.9, 90), (5, 0.9, 5), (10, 0.5, 6)]
)
def test_the_quantile_by_hand(count: int, confidence: float, place: int) -> None:
    residuals = np.arange(1.0, count + 1.0)[::-1].copy()
    assert conformal_quantile(residuals, confidence) == place


def test_regions_have_their_own_width() -> None:
    raw = np.linspace(0.0, 3.0, 300, endpoint=False)
    found = fit_intervals(raw, raw + np.where(raw < 1.0, 0.1, np.where(raw < 2.0, 0.5, 2.0)), 0.9, 3)
    assert found.edges_R[:2] == pytest.approx([1.0, 2.0], abs=0.02)
    assert np.isinf(found.edges_R[2])
    assert found.half_width_R == pytest.approx([0.1, 0.5, 2.0])


def test_few_texts_share_one_width() -> None:
    raw = np.linspace(0.0, 3.0, 40)
    found = fit_intervals(raw, raw + 0.25, 0.9, 3)
    assert np.isinf(found.edges_R).all()
    assert found.half_width_R == pytest.approx([0.25] * 3)


def test_new_scores_are_covered_as_often_as_said() -> None:
    source = np.random.default_rng(0)
    shares = []
    for _ in range(200):
        raw = source.uniform(0, 10, 400)
        score = raw + source.normal(0.0, 0.3 + 0.2 * raw)
        found = fit_intervals(raw[:200], score[:200], 0.9, 3)
        half = found.half_width_R[(raw[200:, None] > found.edges_R).sum(1)]
        shares.append(np.mean(np.abs(score[200:] - raw[200:]) <= half))
    # 200 texts in three regions: between 0.9 and 0.9 + 1/67
    assert 0.895 <= np.mean(shares) <= 0.92
