"""ROC, reliability and distribution: exact, thinned, and hidden where small."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import auc, roc_curve

from components.evaluate.calibration import ece_of, reliability_of
from components.evaluate.curves import MAX_POINTS, RocRows, curves_json, roc_of, thinned
from components.evaluate.suppression import shown_parts


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 6), st.integers(0, 3)), min_size=2, max_size=40),
    st.lists(st.integers(0, 3), min_size=4, max_size=4),
)
def test_the_curve_is_scikit_learns_under_any_multiplicity(rows: list[tuple[bool, int, int]], times: list[int]) -> None:
    right = np.array([r for r, _, _ in rows])
    score = np.array([s / 6 for _, s, _ in rows])
    student = np.array([s for _, _, s in rows])
    counts = np.array(times)
    found = RocRows(right, score, student)(counts)
    weight = counts[student]
    if not weight[right].sum() or not weight[~right].sum():
        assert found is None
        return
    assert found is not None
    x, y, _ = roc_curve(right, score, sample_weight=weight, drop_intermediate=False)
    # scikit-learn's points lie on our curve: same area, and same height at every abscissa from either side
    assert auc(found.false_positive, found.true_positive) == pytest.approx(auc(x, y), abs=1e-12)
    for at, height in zip(x, y, strict=True):
        lower = np.interp(at, found.false_positive, found.true_positive)
        same = found.true_positive[np.isclose(found.false_positive, at)]
        assert min([lower, *same]) - 1e-9 <= height <= max([lower, *same]) + 1e-9
    assert (found.false_positive[0], found.true_positive[0]) == (0, 0)
    assert (found.false_positive[-1], found.true_positive[-1]) == (1, 1)


def test_one_class_has_no_curve() -> None:
    assert roc_of(np.ones(5, np.bool_), np.linspace(0, 1, 5)) is None


def test_a_thinned_curve_keeps_exact_points_and_both_ends() -> None:
    source = np.random.default_rng(0)
    score = source.random(20_000)
    curve = roc_of(source.random(20_000) < score, score)
    assert curve is not None
    few = thinned(curve)
    assert 150 < len(few.false_positive) <= MAX_POINTS
    points = set(zip(curve.false_positive.tolist(), curve.true_positive.tolist(), strict=True))
    assert all(p in points for p in zip(few.false_positive.tolist(), few.true_positive.tolist(), strict=True))
    assert (few.false_positive[[0, -1]].tolist(), few.true_positive[[0, -1]].tolist()) == ([0, 1], [0, 1])
    assert auc(few.false_positive, few.true_positive) == pytest.approx(
        auc(curve.false_positive, curve.true_positive), abs=2e-3
    )


def test_reliability_by_hand() -> None:
    probability = np.array([0.0, 0.05, 0.1, 0.95, 1.0, 1.0])
    label = np.array([0.0, 1.0, 0.0, 1.0, 1.0, 0.0])
    found = reliability_of(label, probability, np.array([7, 7, 7, 8, 8, 9]))
    assert found.rows.tolist() == [2, 1, 0, 0, 0, 0, 0, 0, 0, 3]
    assert found.students.tolist() == [1, 1, 0, 0, 0, 0, 0, 0, 0, 2]
    assert found.mean_probability[[0, 1, 9]].tolist() == pytest.approx([0.025, 0.1, 2.95 / 3])
    assert found.mean_label[[0, 1, 9]].tolist() == pytest.approx([0.5, 0.0, 2 / 3])
    assert np.isnan(found.mean_label[5])
    # (2 * .475 + 1 * .1 + 3 * .31667) / 6
    assert ece_of(label, probability) == pytest.approx((0.95 + 0.1 + 0.95) / 6)


def parts(rows: list[int], students: list[int] | None = None) -> list[bool]:
    found = shown_parts(np.array(rows), np.array(students or rows), min_rows=10, min_students=10)
    return [bool(one) for one in found]


def test_a_single_small_part_takes_the_next_smallest_with_it() -> None:
    assert parts([50, 3, 40, 60]) == [True, False, False, True]
    assert parts([50, 40, 60]) == [True, True, True]
    assert parts([50, 0, 40]) == [True, False, True]  # an empty part needs no other to hide behind
    assert parts([6, 7, 40]) == [False, False, False]  # 13 rows, but perhaps of 7 students only
    assert parts([6, 50, 60, 70], [6, 12, 20, 20]) == [False, False, True, True]
    assert parts([3]) == [False]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=8))
def test_what_is_hidden_is_never_one_part_nor_few_rows(rows: list[int]) -> None:
    count = np.array(rows)
    shown = shown_parts(count, count, min_rows=10, min_students=10)
    assert (count[shown] >= 10).all()
    hidden = ~shown & (count > 0)
    if hidden.any() and shown.any():
        assert hidden.sum() > 1
        assert count[hidden].sum() >= 10


def curves(probability: npt.NDArray[np.float64], label: npt.NDArray[np.float64], least: int = 10) -> dict[str, Any]:
    return curves_json(label, probability, np.arange(len(label)), min_rows=least, min_students=least)


def test_a_hidden_bin_cannot_be_had_back_from_the_totals() -> None:
    """Every number in the JSON, and the group's own n and means: what is left over is of at least ten students."""
    source = np.random.default_rng(3)
    # one bin with 4 rows, the others with 20 or more
    probability = np.concatenate([np.full(4, 0.55), *(np.full(20 + 5 * b, b / 10 + 0.05) for b in (0, 2, 3, 8, 9))])
    label = (source.random(len(probability)) < probability).astype(np.float64)
    found = curves(probability, label)
    shown = [b for b in found["reliability"] if "n" in b]
    left = len(probability) - sum(b["n"] for b in shown)
    assert left >= 10
    hidden = [b for b in found["reliability"] if "status" in b]
    assert all(set(b) == {"low", "high", "status"} for b in hidden)
    # the four rows' labels are not what is left over
    total = label.sum() - sum(b["n"] * b["mean_label"] for b in shown)
    assert left == 4 + 20
    assert abs(total - label[:4].sum()) > 0 or label[4:24].sum() == 0
    assert found["distribution"][5] is None
    assert found["distribution"][0] is None
    assert found["distribution"][9] == round(65 / len(probability), 3)
    assert [b["n"] for b in shown] == [30, 35, 60, 65]


def test_a_curve_without_enough_of_a_class_is_absent() -> None:
    source = np.random.default_rng(4)
    probability = source.random(200)
    assert "roc" in curves(probability, (source.random(200) < probability).astype(np.float64))
    assert "roc" not in curves(probability, np.ones(200))
    assert "roc" not in curves_json(
        np.arange(200) % 2 * 1.0, probability, np.arange(200), min_rows=10, min_students=10, has_roc=False
    )
