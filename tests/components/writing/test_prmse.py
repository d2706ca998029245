"""PRMSE by hand, against a known truth, and where ratings do not decide it."""

import math

import numpy as np
import numpy.typing as npt
import pytest

from components.writing.prmse import prmse_of, prmse_values, rater_factor

Floats = npt.NDArray[np.float64]


def figures(prediction: Floats, ratings: Floats) -> dict[str, float]:
    found = prmse_of(prmse_values(prediction, ratings).sum(axis=0))
    return {name: float(value) for name, value in found.items()}


def test_three_responses_by_hand() -> None:
    ratings = np.array([[1.0, 2.0], [3.0, 3.0], [5.0, np.nan]])
    prediction = np.array([2.0, 3.0, 4.0])
    # error variance: (.25 + .25 + 0 + 0) / (1 + 1) = .25; ratings sum to 14, mean 14 / 5 = 2.8
    # between: 2 (1.5 - 2.8)^2 + 2 (3 - 2.8)^2 + (5 - 2.8)^2 = 3.38 + .08 + 4.84 = 8.3
    # true variance: (8.3 - 2 * .25) / (5 - (4 + 4 + 1) / 5) = 7.8 / 3.2
    # error of truth: (2 * .25 + 0 + 1 - 3 * .25) / 5 = .75 / 5
    found = figures(prediction, ratings)
    assert found["error_variance"] == pytest.approx(0.25)
    assert found["true_variance"] == pytest.approx(7.8 / 3.2)
    assert found["prmse"] == pytest.approx(1 - 0.15 / (7.8 / 3.2))


def test_a_response_without_a_rating_changes_nothing() -> None:
    ratings = np.array([[1.0, 2.0], [3.0, 3.0], [5.0, 4.0]])
    prediction = np.array([2.0, 3.0, 4.0])
    more = np.vstack([ratings, [[np.nan, np.nan]]])
    assert figures(np.append(prediction, 99.0), more) == figures(prediction, ratings)


def test_the_error_of_raters_is_taken_out_of_the_models() -> None:
    """With the truth known, PRMSE is 1 - MSE / variance of the truth, however noisy the raters are."""
    source = np.random.default_rng(0)
    truth = source.normal(3, 1.2, 40_000)
    prediction = truth + source.normal(0.1, 0.5, len(truth))
    expected = 1 - np.mean((prediction - truth) ** 2) / truth.var()
    for noise in (0.2, 0.9):
        ratings = truth[:, None] + source.normal(0, noise, (len(truth), 2))
        ratings[source.random(len(truth)) < 0.5, 1] = np.nan  # half are rated once
        found = figures(prediction, ratings)
        assert found["prmse"] == pytest.approx(expected, abs=0.02)
        assert found["error_variance"] == pytest.approx(noise**2, rel=0.03)
    # correlation with a rating, in contrast, falls with the raters' noise
    assert np.corrcoef(prediction, truth + source.normal(0, 0.9, len(truth)))[0, 1] ** 2 < expected - 0.2


def test_single_ratings_decide_nothing() -> None:
    found = figures(np.arange(5.0), np.array([[1.0, np.nan]] * 5))
    assert all(math.isnan(value) for value in found.values())


def test_raters_who_differ_by_no_more_than_their_error_have_no_true_variance() -> None:
    ratings = np.array([[1.0, 3.0], [3.0, 1.0], [1.0, 3.0], [3.0, 1.0]])
    found = figures(np.full(4, 2.0), ratings)
    assert math.isnan(found["prmse"])
    assert math.isnan(found["true_variance"])
    assert found["error_variance"] == pytest.approx(2.0)


@pytest.mark.parametrize(("factor", "score"), [(1.0, [1, 3, 2, 4]), (2.0, [2, 6, 4, 8])])
def test_a_score_that_is_the_mean_or_the_sum_of_its_ratings_is_recognised(factor: float, score: list[float]) -> None:
    ratings = np.array([[1.0, 1.0], [3.0, 3.0], [2.0, 2.0], [4.0, 4.0]])
    assert rater_factor(np.array(score, np.float64), ratings, 1.0) == factor


def test_ratings_on_a_scale_of_their_own_are_left_alone() -> None:
    ratings = np.array([[1.0, 1.0], [3.0, 3.0], [2.0, 2.0], [4.0, 4.0]])
    assert rater_factor(np.array([20.0, 60, 40, 80]), ratings, 1.0) is None
    assert rater_factor(np.array([1.0, 3, 2, 4]), ratings[:, :1], 1.0) is None
    assert rater_factor(np.array([1.0, 3, 2, 4]), np.full((4, 2), np.nan), 1.0) is None
