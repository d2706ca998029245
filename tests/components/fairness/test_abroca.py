"""ABROCA against exact fractions and by hand, and the randomisation test's false alarms and power."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.evaluate.curves import Roc, RocRows, roc_of
from components.fairness.abroca import Abroca, abroca_of, area_between, areas_drawn, corrected, randomisation_p

Points = list[tuple[Fraction, Fraction]]


def curve(*points: tuple[float, float]) -> Roc:
    x, y = zip(*points, strict=True)
    return Roc(np.array(x, np.float64), np.array(y, np.float64))


def test_two_curves_that_cross_by_hand() -> None:
    diagonal = curve((0, 0), (1, 1))
    # up to (.25, .5), along to (.75, .5), up: above the diagonal by at most .25, then as far below
    bent = curve((0, 0), (0.25, 0.5), (0.75, 0.5), (1, 1))
    # two triangles on [0, .5] and [.5, 1], each of base .5 and height .25
    assert area_between(diagonal, bent) == pytest.approx(2 * 0.5 * 0.25 / 2, abs=1e-15)
    step = curve((0, 0), (0, 0.5), (0.5, 0.5), (0.5, 1), (1, 1))
    # |step - diagonal|: .5 to 0 on [0, .5], .5 to 0 on [.5, 1]
    assert area_between(step, diagonal) == pytest.approx(0.25, abs=1e-15)
    assert area_between(step, step) == 0.0
    perfect, worst = curve((0, 0), (0, 1), (1, 1)), curve((0, 0), (1, 0), (1, 1))
    assert area_between(perfect, worst) == 1.0


def exact_points(right: list[bool], score: list[int]) -> Points:
    positives, negatives = sum(right), len(right) - sum(right)
    points: Points = [(Fraction(0), Fraction(0))]
    for threshold in sorted(set(score), reverse=True):
        up = sum(r for r, s in zip(right, score, strict=True) if s >= threshold)
        along = sum(not r for r, s in zip(right, score, strict=True) if s >= threshold)
        points.append((Fraction(along, negatives), Fraction(up, positives)))
    return points


def exact_area(first: Points, second: Points) -> Fraction:
    """Integrate in whole fractions, from one abscissa to the next, the heights just right and just left of each."""

    def right_of(points: Points, x: Fraction) -> Fraction:
        (a, u), (b, v) = next((p, q) for p, q in pairwise(points) if p[0] <= x < q[0])
        return u + (v - u) * (x - a) / (b - a)

    def left_of(points: Points, x: Fraction) -> Fraction:
        (a, u), (b, v) = next((p, q) for p, q in pairwise(points) if p[0] < x <= q[0])
        return u + (v - u) * (x - a) / (b - a)

    grid = sorted({x for x, _ in first} | {x for x, _ in second})
    total = Fraction(0)
    for low, high in pairwise(grid):
        begin = right_of(first, low) - right_of(second, low)
        end = left_of(first, high) - left_of(second, high)
        width = high - low
        if begin * end < 0:
            total += width * (begin**2 + end**2) / (2 * (abs(begin) + abs(end)))
        else:
            total += width * abs(begin + end) / 2
    return total


rows_strategy = st.lists(st.tuples(st.booleans(), st.integers(0, 9)), min_size=2, max_size=30).filter(
    lambda rows: len({r for r, _ in rows}) == 2
)


@settings(max_examples=300, deadline=None)
@given(rows_strategy, rows_strategy)
def test_the_area_is_exact_with_ties_and_crossings(
    first: list[tuple[bool, int]], second: list[tuple[bool, int]]
) -> None:
    exact, ours = [], []
    for rows in (first, second):
        right, score = [r for r, _ in rows], [s for _, s in rows]
        exact.append(exact_points(right, score))
        found = roc_of(np.array(right), np.array(score, np.float64))
        assert found is not None
        ours.append(found)
    assert area_between(*ours) == pytest.approx(float(exact_area(*exact)), abs=1e-12)
    assert area_between(*ours) == pytest.approx(area_between(*ours[::-1]), abs=1e-15)


def test_interpolating_on_a_grid_comes_near_but_is_not_it() -> None:
    """The published way: both curves at 10,000 abscissae. It misses the steps between them."""
    source = np.random.default_rng(0)
    score = source.random(3_000)
    right = source.random(3_000) < score
    a, b = roc_of(right[:700], score[:700]), roc_of(right[700:], np.round(score[700:], 1))
    assert a is not None
    assert b is not None
    grid = np.linspace(0, 1, 10_000)
    gap = np.abs(
        np.interp(grid, a.false_positive, a.true_positive) - np.interp(grid, b.false_positive, b.true_positive)
    )
    assert area_between(a, b) == pytest.approx(np.trapezoid(gap, grid), abs=1e-4)


def both_groups(seed: int, sizes: tuple[int, int], blunt: float) -> tuple[Abroca, float]:
    """Return the result for two groups of students with 5 rows each; the second's scores are noisier by `blunt`."""
    source = np.random.default_rng(seed)
    students = sum(sizes)
    student = np.repeat(np.arange(students), 5)
    in_first = np.arange(students) < sizes[0]
    # students differ, so that their rows are not independent
    right = source.random(len(student)) < np.clip(0.6 + source.normal(0, 0.15, students)[student], 0.05, 0.95)
    noise = np.where(in_first[student], 1.0, 1.0 + blunt) * source.normal(0, 1, len(student))
    score: npt.NDArray[np.float64] = right + noise
    own = in_first[student]
    first, second = (RocRows(right[at], score[at], student[at]) for at in (own, ~own))
    counts = [np.bincount(source.integers(students, size=students), minlength=students) for _ in range(60)]
    drawn = areas_drawn({0: [first(c) for c in counts], 1: [second(c) for c in counts]}, 0, 1)
    together = RocRows(right, score, student)
    found = abroca_of(first, second, drawn, together, in_first, confidence=0.95, resamples=79, seed=seed)
    a, b = first(np.ones(students, np.int64)), second(np.ones(students, np.int64))
    assert a is not None
    assert b is not None
    return found, area_between(a, b)


def test_equal_groups_are_told_apart_as_often_as_the_level_says_and_never_with_an_interval_off_zero() -> None:
    alarms = 0
    for seed in range(80):
        found, area = both_groups(seed, (30, 60), 0.0)
        assert (found.status, found.value, found.resamples) == ("ok", area, 79)
        assert found.p is not None
        assert found.value is not None
        assert found.low is not None
        assert found.high is not None
        assert found.low <= found.value <= found.high
        assert found.value > 0  # chance alone makes an area
        alarms += found.p <= 0.05
        assert (found.low == 0.0) == (found.p > 0.05 or 2 * found.value <= found.high)
    assert alarms <= 10  # 4 of 80 expected; more than 10 with a chance of 1 in 400


def test_a_real_difference_is_found_and_its_interval_leaves_0_out() -> None:
    found = [both_groups(seed, (80, 80), 3.0)[0] for seed in range(10)]
    assert sum((f.p or 1.0) <= 0.05 for f in found) == 10
    assert all(f.low is not None and f.low > 0.0 for f in found)


def test_p_counts_the_observed_one_and_whole_students_are_dealt() -> None:
    right = np.tile([True, False], 4)
    score = np.array([0.9, 0.1, 0.9, 0.1, 0.1, 0.9, 0.1, 0.9])  # students 0 and 1 perfect, 2 and 3 upside down
    student = np.repeat(np.arange(4), 2)
    together = RocRows(right, score, student)
    # of the 6 ways to deal 2 of 4 students, 2 make an area of 1, 4 an area of 0
    p = randomisation_p(1.0, together, np.array([True, True, False, False]), resamples=2_000, seed=0)
    assert p == pytest.approx(2 / 6, abs=0.04)
    assert randomisation_p(2.0, together, np.array([True, True, False, False]), resamples=9, seed=0) == 0.1


def test_a_group_without_a_class_or_with_one_student_has_no_area() -> None:
    right, score, student = np.array([True] * 4 + [True, False] * 2), np.linspace(0, 1, 8), np.arange(8)
    own = np.arange(8) < 4
    first, second = (RocRows(right[at], score[at], student[at]) for at in (own, ~own))
    together = RocRows(right, score, student)
    no_class = abroca_of(first, second, np.ones(20), together, own, confidence=0.95, resamples=19, seed=0)
    assert (no_class.status, no_class.value, no_class.p) == ("not_estimable", None, None)
    few = np.where(np.arange(20) < 3, np.nan, 0.1)
    ok = RocRows(right[~own], score[~own], student[~own])
    undefined = abroca_of(ok, second, few, together, own, confidence=0.95, resamples=19, seed=0)
    assert undefined.status == "not_estimable"


def test_p_values_of_several_pairs_are_holms() -> None:
    """By hand: 4 x 0.005; 3 x 0.01; 2 x 0.03; and no less than the one before (0.06)."""

    def area(p: float) -> Abroca:
        return Abroca(status="ok", value=0.1, low=0.05, high=0.2, p=p, resamples=199)

    none = Abroca(status="too_few")
    found = corrected([area(0.03), none, area(0.005), area(0.04), area(0.01)], 0.95)
    assert [one.p_holm for one in found] == [pytest.approx(p) if p else None for p in (0.06, None, 0.02, 0.06, 0.03)]
    assert [one.low for one in found] == [0.0, None, 0.05, 0.0, 0.05]
    assert [one.p for one in found] == [0.03, None, 0.005, 0.04, 0.01]
    (alone,) = corrected([area(0.03)], 0.95)
    assert (alone.p_holm, alone.low) == (0.03, 0.05)
    assert corrected([area(0.6), area(0.9)], 0.95)[0].p_holm == 1.0
