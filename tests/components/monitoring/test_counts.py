"""Counts of a signal: means and errors against numpy and simulation; nothing but counts is kept."""

import json
import math

import numpy as np
import pytest

from components.monitoring.counts import BLOCK, GROUPS, SignalCounts, group_of, plus


def counted(values: np.ndarray, groups: np.ndarray | None, edges: tuple[float, ...] = (0.0,)) -> SignalCounts:
    found = SignalCounts(bins=[0] * (len(edges) + 1))
    for at, value in enumerate(values):
        found.add(float(value), edges, None if groups is None else int(groups[at]))
    return found


def test_mean_spread_and_bins_are_numpys() -> None:
    values = np.random.default_rng(1).normal(2.0, 3.0, 500)
    found = counted(values, None, edges=(0.0, 2.0, 5.0))
    assert found.mean == pytest.approx(values.mean())
    assert found.sd == pytest.approx(values.std(ddof=1))
    assert found.bins == np.histogram(values, [-np.inf, 0.0, 2.0, 5.0, np.inf])[0].tolist()
    assert (found.count, found.bins_total, found.named) == (500, 500, 0)
    assert counted(np.array([1.0, 1.0]), None, edges=(1.0,)).bins == [2, 0]  # an upper bound belongs to its bin


def test_the_error_of_a_mean_by_hand() -> None:
    # Groups 0 and 1 with values {1, 3} and {5}: r = 3, (4 - 6)^2 + (5 - 3)^2 = 8, times 2 / 1, over 3^2.
    found = counted(np.array([1.0, 3.0, 5.0]), np.array([0, 0, 1]))
    assert found.standard_error == pytest.approx(math.sqrt(16) / 3)
    assert found.named == 3
    assert math.isnan(counted(np.array([1.0, 3.0]), np.array([4, 4])).standard_error)


@pytest.mark.parametrize("alike", [0.0, 0.5])
def test_the_error_of_a_mean_is_that_of_students_not_of_requests(alike: float) -> None:
    source = np.random.default_rng(2)
    means, errors = [], []
    for _ in range(150):
        student = np.repeat(np.arange(60), 10)
        values = math.sqrt(alike) * source.normal(size=60)[student] + math.sqrt(1 - alike) * source.normal(size=600)
        groups = source.integers(GROUPS, size=60)[student]
        found = SignalCounts(
            bins=[0],
            numbers=np.bincount(groups, minlength=GROUPS).tolist(),
            sums=np.bincount(groups, weights=values, minlength=GROUPS).tolist(),
        )
        means.append(found.mean)
        errors.append(found.standard_error)
    expected = math.sqrt((1 + 9 * alike) / 600)  # Kish's design effect, 10 a student
    assert np.std(means) == pytest.approx(expected, rel=0.15)
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(expected, rel=0.15)


def test_without_names_neighbours_share_a_group() -> None:
    found = counted(np.ones(BLOCK * GROUPS + 1), None)
    assert found.numbers == [BLOCK + 1, *[BLOCK] * (GROUPS - 1)]


def test_a_students_group_is_the_same_everywhere_and_another_for_each_release() -> None:
    groups = [group_of(f"student {n}", "app-1") for n in range(3200)]
    assert groups == [group_of(f"student {n}", "app-1") for n in range(3200)]
    assert np.bincount(groups, minlength=GROUPS).min() > 60  # 100 each
    assert groups != [group_of(f"student {n}", "app-2") for n in range(3200)]
    assert 0 <= group_of("\ud800", "app-1") < GROUPS  # a header may hold anything


def test_sums_differences_and_json() -> None:
    one = counted(np.array([1.0, -2.0, 3.0]), np.array([0, 5, 31]))
    assert SignalCounts.from_json(json.loads(json.dumps(one.to_json()))) == one
    assert one.plus(one).plus(one, -1) == one
    assert plus({"a": one}, {"a": one, "b": one}) == {"a": one.plus(one), "b": one}
    assert plus({"a": one}, {"a": one, "b": one}, -1)["a"].count == 0
    with pytest.raises(ValueError, match="groups"):
        SignalCounts.from_json({**one.to_json(), "numbers": [1]})
