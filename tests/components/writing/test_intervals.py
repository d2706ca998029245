"""Conformal margins by hand, and that intervals hold as many scores as they say."""

import math

import numpy as np
import pytest

from components.writing.intervals import margin_of, prompt_margins


def test_the_margin_is_the_rank_that_the_theorem_names() -> None:
    residuals = np.array([-0.9, 0.1, 0.5, -0.3, 0.7, 0.2, -0.6, 0.4, 0.8])  # 9: ceil(10 * .9) = the 9th
    assert margin_of(residuals, 0.9) == 0.9
    assert margin_of(residuals, 0.5) == 0.5
    assert margin_of(residuals[:8], 0.9) == math.inf  # ceil(9 * .9) = 9 of 8
    assert margin_of(np.zeros(0), 0.9) == math.inf


def test_nine_of_ten_new_scores_lie_inside_whatever_the_error_looks_like() -> None:
    source = np.random.default_rng(0)
    inside = []
    for _ in range(300):
        errors = source.standard_t(3, 400) + 0.4
        margin = margin_of(errors[:200], 0.9)
        inside.append(np.mean(np.abs(errors[200:]) <= margin))
    # at least .9 and at most .9 + 1 / 201, up to the noise of 60,000 scores
    assert 0.895 < np.mean(inside) < 0.912


def test_a_prompt_with_few_residuals_takes_the_margin_of_all_by_its_range() -> None:
    source = np.random.default_rng(1)
    prompt = np.repeat([0, 1, 2], [400, 400, 5])
    ranges = np.array([3.0, 60.0, 12.0])
    residuals = source.normal(0, 0.1, 805) * ranges[prompt]
    found = prompt_margins(residuals, prompt, ranges, confidence=0.9)
    assert found[0] == margin_of(residuals[:400], 0.9)
    assert found[1] == margin_of(residuals[400:800], 0.9)
    assert found[2] == pytest.approx(12 * margin_of(residuals / ranges[prompt], 0.9))


def test_no_margin_is_wider_than_the_range() -> None:
    found = prompt_margins(np.array([9.0, -1.0]), np.array([0, 0]), np.array([4.0]), confidence=0.9)
    assert found.tolist() == [4.0]
