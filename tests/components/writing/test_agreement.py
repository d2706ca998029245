"""Figures of agreement against scikit-learn, scipy and RSMTool's own tests, and what the numbers do not decide."""

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr
from sklearn.metrics import cohen_kappa_score, root_mean_squared_error

from components.writing.agreement import Pair, pair_values

Floats = npt.NDArray[np.float64]


def pair(x: list[float] | Floats, y: list[float] | Floats) -> Pair:
    return Pair(pair_values(np.asarray(x, np.float64), np.asarray(y, np.float64)).sum(axis=0))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=40))
def test_kappa_of_scores_is_scikit_learns(scores: list[tuple[int, int]]) -> None:
    x, y = zip(*scores, strict=True)
    found = float(pair(list(x), list(y)).qwk())
    if len(set(x)) == 1:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(cohen_kappa_score(x, y, weights="quadratic", labels=range(7)), abs=1e-12)


def test_kappa_has_the_value_that_rsmtools_tests_have() -> None:
    assert float(pair([8, 4, 6, 3], [9, 4, 5, 12]).qwk()) == pytest.approx(-0.09210526315789469, abs=1e-14)


def test_kappa_of_a_scale_does_not_depend_on_where_it_begins_or_how_far_its_steps_are_apart() -> None:
    x, y = np.array([0.0, 1, 2, 2, 4, 5]), np.array([1.0, 1, 2, 3, 3, 5])
    assert float(pair(x * 0.5 + 10, y * 0.5 + 10).qwk()) == pytest.approx(float(pair(x, y).qwk()), abs=1e-12)


def test_smd_has_the_value_of_rsmtools_tests_with_n_minus_1() -> None:
    # their expectation, 1.171700198827415, is with ddof=0
    found = float(pair([8, 4, 6, 3], [9, 4, 5, 12]).smd())
    assert found == pytest.approx(1.171700198827415 * math.sqrt(3 / 4), abs=1e-12)


def test_the_other_figures_are_scipys_numpys_and_counted_by_hand() -> None:
    source = np.random.default_rng(0)
    x = source.integers(0, 5, 200).astype(np.float64)
    y = x + source.normal(0.2, 1.1, 200)
    found = pair(x, y)
    assert float(found.pearson()) == pytest.approx(pearsonr(x, y).statistic, abs=1e-12)
    assert float(found.rmse()) == pytest.approx(root_mean_squared_error(x, y), abs=1e-12)
    assert float(found.smd()) == pytest.approx((y.mean() - x.mean()) / x.std(ddof=1), abs=1e-12)
    assert float(found.sd_y()) == pytest.approx(y.std(ddof=1), abs=1e-12)
    counted = pair([0, 1, 2, 3, 4], [0, 2, 0, 3, 5])
    assert (float(counted.exact()), float(counted.adjacent())) == (0.4, 0.8)


def test_kappa_between_points_is_haberman_s_formula() -> None:
    source = np.random.default_rng(1)
    x, y = source.normal(3, 1, 50), source.normal(3.4, 1.3, 50)
    covariance = np.cov(x, y, ddof=0)
    expected = 2 * covariance[0, 1] / (covariance[0, 0] + covariance[1, 1] + (x.mean() - y.mean()) ** 2)
    assert float(pair(x, y).qwk()) == pytest.approx(expected, abs=1e-12)


def test_humans_who_give_one_score_leave_nothing_to_agree_on() -> None:
    found = pair([2, 2, 2, 2], [2, 1, 2, 3])
    assert math.isnan(found.qwk())
    assert math.isnan(found.pearson())
    assert math.isnan(found.smd())
    assert float(found.exact()) == 0.5


def test_predictions_that_are_all_alike_agree_no_better_than_chance_and_correlate_with_nothing() -> None:
    # 2.37 has no exact binary form: its variance must still be 0
    found = pair([0, 1, 2, 3] * 25, [2.37] * 100)
    assert float(found.qwk()) == 0.0 == cohen_kappa_score([0, 1, 2, 3], [2, 2, 2, 2], weights="quadratic")
    assert math.isnan(found.pearson())


def test_no_rows_have_no_figures() -> None:
    nothing = Pair(np.zeros(9))
    for figure in (nothing.qwk, nothing.pearson, nothing.smd, nothing.rmse, nothing.exact, nothing.adjacent):
        assert math.isnan(figure())


def test_one_row_has_no_spread_but_an_agreement() -> None:
    found = pair([3], [3])
    assert math.isnan(found.qwk())
    assert math.isnan(found.smd())
    assert float(found.exact()) == 1.0


def test_rows_that_take_no_part_may_hold_nothing() -> None:
    x, y = np.array([1.0, np.nan, 3.0, 0.0]), np.array([1.0, 2.0, np.nan, 2.0])
    found = Pair(pair_values(x, y, np.array([True, False, False, True])).sum(axis=0))
    assert float(found.n) == 2.0
    assert float(found.qwk()) == pytest.approx(float(pair([1, 0], [1, 2]).qwk()))
