"""Simultaneous intervals against the normal and the studentised range distribution, and their false alarms."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import norm, studentized_range, t, ttest_ind

from components.fairness.gaps import Sample, departures_of, differences_of, quantile_of


def sample(values: npt.NDArray[np.float64], drawn: npt.NDArray[np.float64], students: npt.NDArray[np.int64]) -> Sample:
    return Sample(groups=tuple(range(len(values))), values=values, drawn=drawn, students=students)


def many(groups: int) -> npt.NDArray[np.int64]:
    """So many students that Student's distribution is the normal one."""
    return np.full(groups, 100_000)


def test_two_groups_with_normal_noise_get_the_usual_interval() -> None:
    source = np.random.default_rng(0)
    values = np.array([0.7, 0.8])
    drawn = values + source.normal(0, [0.03, 0.04], (40_000, 2))
    (found,) = differences_of(sample(values, drawn, many(len(values))), 0.95)
    assert (found.higher, found.lower) == (1, 0)
    assert found.value == pytest.approx(0.1)
    assert found.low == pytest.approx(0.1 - 1.96 * 0.05, abs=0.002)
    assert found.high == pytest.approx(0.1 + 1.96 * 0.05, abs=0.002)
    assert found.is_told_apart


def test_five_equally_noisy_groups_get_tukeys_intervals() -> None:
    source = np.random.default_rng(1)
    values = np.array([0.5, 0.6, 0.7, 0.8, 0.9])
    drawn = values + source.normal(0, 0.1, (40_000, 5))
    found = differences_of(sample(values, drawn, many(len(values))), 0.95)
    assert len(found) == 10
    assert [found[0].value, found[-1].value] == pytest.approx([0.4, 0.1])
    half = studentized_range.ppf(0.95, 5, np.inf) * 0.1
    for d in found:
        assert d.high - d.value == pytest.approx(half, rel=0.02)


def test_equal_groups_are_rarely_told_apart_though_the_widest_pair_is_picked() -> None:
    source = np.random.default_rng(2)
    spread = np.array([0.01, 0.01, 0.02, 0.05, 0.1, 0.03])
    alarms = 0
    for _ in range(400):
        values = 0.7 + source.normal(0, spread)
        drawn = values + source.normal(0, spread, (200, 6))
        alarms += any(d.is_told_apart for d in differences_of(sample(values, drawn, many(len(values))), 0.95))
    assert 0.02 < alarms / 400 < 0.09


def test_a_noisy_small_group_does_not_hide_a_difference_between_large_ones() -> None:
    source = np.random.default_rng(3)
    values = np.array([0.70, 0.78, 0.74])
    drawn = values + source.normal(0, [0.01, 0.01, 0.5], (500, 3))
    told_apart = [
        (d.higher, d.lower) for d in differences_of(sample(values, drawn, many(len(values))), 0.95) if d.is_told_apart
    ]
    assert told_apart == [(1, 0)]


def test_resamples_without_a_value_are_left_out() -> None:
    source = np.random.default_rng(4)
    values = np.array([0.5, 0.6, 0.7])
    drawn = values + source.normal(0, 0.02, (3_000, 3))
    whole = differences_of(sample(values, drawn, many(len(values))), 0.95)
    drawn[::50, 2] = np.nan
    drawn[7] = np.nan
    for with_gaps, without in zip(differences_of(sample(values, drawn, many(len(values))), 0.95), whole, strict=True):
        assert with_gaps.value == without.value
        assert with_gaps.low == pytest.approx(without.low, abs=0.004)


def test_groups_that_never_vary_differ_for_certain() -> None:
    (found,) = differences_of(sample(np.array([1.0, 0.0]), np.tile([1.0, 0.0], (50, 1)), many(2)), 0.95)
    assert (found.low, found.value, found.high) == (1.0, 1.0, 1.0)


def test_two_small_groups_get_the_interval_of_welchs_t_test() -> None:
    source = np.random.default_rng(5)
    first, second = source.normal(0.7, 0.1, 12), source.normal(0.6, 0.3, 9)
    # the bootstrap of a mean of n values has the variance of the sample with n in the denominator
    deviation = source.normal(0, [first.std() / np.sqrt(12), second.std() / np.sqrt(9)], (200_000, 2))
    values = np.array([first.mean(), second.mean()])
    (found,) = differences_of(sample(values, values + deviation, np.array([12, 9])), 0.95)
    welch = ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    sign = 1 if values[0] > values[1] else -1
    assert sorted([found.low * sign, found.high * sign]) == pytest.approx([welch.low, welch.high], abs=0.002)


def test_departures_have_intervals_that_hold_for_all_groups_at_once() -> None:
    source = np.random.default_rng(6)
    values = np.array([0.05, -0.3, 0.0, 0.2])
    drawn = values + source.normal(0, [0.1, 0.05, 0.2, 0.1], (60_000, 4))
    found = departures_of(sample(values, drawn, many(4)), 0.95)
    assert [d.group for d in found] == [1, 3, 0, 2]
    # of four independent deviations the largest stays below q with probability (2 Phi(q) - 1)^4
    q = norm.ppf((1 + 0.95 ** (1 / 4)) / 2)
    for d, spread in zip(found, (0.05, 0.1, 0.1, 0.2), strict=True):
        assert d.value == pytest.approx(values[d.group])
        assert d.high - d.value == pytest.approx(q * spread, rel=0.03)
        assert d.value - d.low == pytest.approx(q * spread, rel=0.03)
    assert [d.is_told_apart for d in found] == [True, False, False, False]


def test_the_departure_of_a_small_group_has_the_interval_of_a_t_test() -> None:
    source = np.random.default_rng(7)
    ten = source.normal(0.1, 0.3, 10)
    drawn = ten.mean() + source.normal(0, ten.std() / np.sqrt(10), (200_000, 1))
    (found,) = departures_of(sample(np.array([ten.mean()]), drawn, np.array([10])), 0.95)
    low, high = t.interval(0.95, 9, ten.mean(), ten.std(ddof=1) / np.sqrt(10))
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.002)


def test_a_family_of_independent_pairs_gets_the_quantile_of_all_of_them() -> None:
    source = np.random.default_rng(8)
    values = np.array([0.7, 0.8])
    family = [sample(values, values + source.normal(0, 0.1 * (k + 1), (60_000, 2)), many(2)) for k in range(8)]
    q = quantile_of([member.largest_of_pairs() for member in family], 0.95)
    # each pair's difference is normal, and all eight stay below q with probability (2 Phi(q) - 1)^8
    assert q == pytest.approx(norm.ppf((1 + 0.95 ** (1 / 8)) / 2), rel=0.01)
    (found,) = differences_of(family[1], 0.95, q=q)
    assert found.high - found.value == pytest.approx(q * 0.2 * np.sqrt(2), rel=0.02)


def test_attributes_that_say_the_same_cost_nothing_in_a_family() -> None:
    source = np.random.default_rng(9)
    values = np.array([0.7, 0.8, 0.6])
    one = sample(values, values + source.normal(0, 0.1, (20_000, 3)), many(3))
    alone = quantile_of([one.largest_of_pairs()], 0.95)
    assert quantile_of([one.largest_of_pairs()] * 5, 0.95) == alone
    assert quantile_of([one.largest_of_pairs(), one.largest_of_groups()], 0.95) >= alone


def test_a_resample_without_any_value_counts_for_nothing_in_a_family() -> None:
    source = np.random.default_rng(10)
    values = np.array([0.7, 0.8])
    drawn = values + source.normal(0, 0.1, (5_000, 2))
    whole = quantile_of([sample(values, drawn, many(2)).largest_of_pairs()], 0.95)
    drawn[::10] = np.nan
    assert quantile_of([sample(values, drawn, many(2)).largest_of_pairs()], 0.95) == pytest.approx(whole, abs=0.1)
