"""The bootstrap against scikit-learn on drawn rows, statistics' own formula, and its rules for undefined resamples."""

import math
import time

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score

from components.evaluate.bootstrap import (
    GroupedAuc,
    Interval,
    drawn_metrics,
    interval_of,
    intervals_of,
    resampled_students,
)
from components.evaluate.measures import SHARES

Rows = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int64]]


def metric_intervals(
    label: npt.NDArray[np.floating],
    probability: npt.NDArray[np.floating],
    student: npt.NDArray[np.int64],
    *,
    resamples: int,
    confidence: float,
    seed: int,
) -> dict[str, Interval]:
    drawn = drawn_metrics(label, probability, student, resamples=resamples, seed=seed)
    return intervals_of(drawn, confidence=confidence, clusters=len(np.unique(student)))


def simulated(rows: int, students: int, seed: int, decimals: int | None = None) -> Rows:
    """Labels, probabilities (rounded, where ties are wanted) and students of `rows` answers."""
    source = np.random.default_rng(seed)
    student = source.integers(students, size=rows)
    label = (source.random(rows) < 0.65).astype(np.float32)
    p = np.clip(source.normal(0.5 + 0.1 * label, 0.2), 0.01, 0.99)
    return label, (p if decimals is None else np.round(p, decimals)).astype(np.float32), student


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 3)), min_size=2, max_size=40),
    st.lists(st.integers(0, 4), min_size=4, max_size=4),
)
def test_weighted_auc_with_ties_equals_scikit_learn(rows: list[tuple[bool, int, int]], weights: list[int]) -> None:
    right = np.array([r for r, _, _ in rows])
    probability = np.array([p / 5 for _, p, _ in rows])
    student = np.array([s for _, _, s in rows])
    counts = np.array(weights)
    weight = counts[student]
    ours = float(GroupedAuc(right, probability, student)(counts)[0])
    if weight[right].sum() == 0 or weight[~right].sum() == 0:
        assert math.isnan(ours)
    else:
        assert ours == pytest.approx(roc_auc_score(right, probability, sample_weight=weight), abs=1e-12)


@pytest.mark.parametrize("decimals", [None, 2])
def test_weighted_auc_of_many_rows_equals_scikit_learn(decimals: int | None) -> None:
    label, probability, student = simulated(5_000, 300, 3, decimals)
    auc = GroupedAuc(label > 0.5, probability, student)
    for counts in resampled_students(300, 5, seed=11):
        expected = roc_auc_score(label, probability, sample_weight=counts[student])
        assert float(auc(counts)[0]) == pytest.approx(expected, abs=1e-12)


def test_each_group_has_its_own_auc_and_a_one_class_or_empty_group_has_none() -> None:
    label, probability, student = simulated(900, 90, 5, 2)
    group = student % 3
    label[group == 2] = 1.0
    found = GroupedAuc(label > 0.5, probability, student, group, groups=4)(np.ones(90, np.int64))
    for g in (0, 1):
        assert found[g] == pytest.approx(roc_auc_score(label[group == g], probability[group == g]), abs=1e-12)
    assert np.isnan(found[2:]).all()


def test_intervals_are_the_quantiles_of_metrics_of_literally_repeated_rows() -> None:
    label, probability, student = simulated(300, 25, 9, 2)
    found = metric_intervals(label, probability, student, resamples=60, confidence=0.9, seed=4)
    known = np.unique(student)
    drawn = []
    for counts in resampled_students(len(known), 60, seed=4):
        rows = np.concatenate(
            [np.flatnonzero(student == s) for s, times in zip(known, counts, strict=True) for _ in range(times)]
        )
        y, p = label[rows], probability[rows].astype(np.float64)
        drawn.append([roc_auc_score(y, p), accuracy_score(y, p >= 0.5), log_loss(y, p), np.mean((p - y) ** 2)])
    low, high = np.quantile(drawn, [0.05, 0.95], axis=0)
    for m, name in enumerate(("auc", "accuracy", "log_loss", "brier")):
        assert (found[name].low, found[name].high) == pytest.approx((low[m], high[m]), abs=1e-12)


def test_saying_every_answer_ten_times_narrows_nothing() -> None:
    label, probability, student = simulated(400, 40, 2)
    once = metric_intervals(label, probability, student, resamples=50, confidence=0.95, seed=0)
    tenfold = metric_intervals(
        np.repeat(label, 10), np.repeat(probability, 10), np.repeat(student, 10), resamples=50, confidence=0.95, seed=0
    )
    for name in once:
        assert (tenfold[name].low, tenfold[name].high) == pytest.approx((once[name].low, once[name].high), abs=1e-9)


def test_the_interval_of_accuracy_is_as_wide_as_the_normal_approximation_over_students_says() -> None:
    source = np.random.default_rng(6)
    hit = source.random(400) < 0.7  # one draw per student, eight equal answers each
    label = np.tile([1.0, 0.0], 1_600)
    student = np.repeat(np.arange(400), 8)
    probability = np.where(np.repeat(hit, 8), label * 0.8 + 0.1, 0.9 - label * 0.8)
    found = metric_intervals(label, probability, student, resamples=2_000, confidence=0.95, seed=1)["accuracy"]
    assert found.low is not None
    assert found.high is not None
    share = hit.mean()
    assert found.high - found.low == pytest.approx(2 * 1.96 * math.sqrt(share * (1 - share) / 400), rel=0.08)


def test_equal_seeds_give_equal_intervals_and_other_seeds_others() -> None:
    label, probability, student = simulated(300, 30, 8)
    first, again, other = (
        metric_intervals(label, probability, student, resamples=40, confidence=0.95, seed=s) for s in (5, 5, 6)
    )
    assert first == again
    assert first != other


def test_draws_are_of_whole_students_and_keep_their_number() -> None:
    counts = np.stack(list(resampled_students(50, 400, seed=0)))
    assert (counts.sum(axis=1) == 50).all()
    # a student is missing from a resample with probability (1 - 1/50)^50 = 0.364
    assert (counts == 0).mean() == pytest.approx((1 - 1 / 50) ** 50, abs=0.01)


def test_a_class_that_one_student_alone_has_makes_the_auc_not_estimable_but_not_the_accuracy() -> None:
    student = np.repeat(np.arange(20), 5)
    label = np.where(student == 0, 0.0, 1.0)
    probability = np.linspace(0.1, 0.9, 100)
    found = metric_intervals(label, probability, student, resamples=200, confidence=0.95, seed=0)
    assert (found["auc"].low, found["auc"].high) == (None, None)
    assert found["auc"].undefined / 200 == pytest.approx(0.95**20, abs=0.12)
    assert found["accuracy"].low is not None
    assert found["accuracy"].undefined == 0


def test_a_few_undefined_resamples_are_dropped_and_counted() -> None:
    values = np.array([np.nan] * 5 + [float(v) for v in range(95)])
    found = interval_of(values, confidence=0.5, clusters=10)
    assert found.undefined == 5
    assert (found.low, found.high) == (23.5, 70.5)  # quartiles of 0 ... 94
    assert interval_of(np.append(values, [np.nan] * 20), confidence=0.5, clusters=10).low is None


def test_one_student_gives_no_interval() -> None:
    label, probability, _ = simulated(50, 1, 0)
    found = metric_intervals(label, probability, np.zeros(50, np.int64), resamples=30, confidence=0.95, seed=0)
    assert all(interval.low is None for interval in found.values())


def test_two_hundred_resamples_of_a_hundred_thousand_answers_take_under_three_cpu_seconds() -> None:
    label, probability, student = simulated(100_000, 2_000, 0)
    clock = time.process_time()
    found = metric_intervals(label, probability, student, resamples=200, confidence=0.95, seed=0)
    assert time.process_time() - clock < 3.0
    assert found["auc"].undefined == 0


def test_a_perfect_share_has_the_exact_end_of_clopper_and_pearson_in_place_of_no_width() -> None:
    """The exact binomial interval of n successes in n students, and of none, by scipy."""
    for n in (2, 10, 240):
        exact = binomtest(n, n).proportion_ci(0.95, method="exact")
        found = interval_of(np.ones(200), confidence=0.95, clusters=n, is_share=True)
        assert [found.low, found.high] == pytest.approx([exact.low, 1.0], abs=1e-12)
        none = interval_of(np.zeros(200), confidence=0.95, clusters=n, is_share=True)
        assert [none.low, none.high] == pytest.approx([0.0, 1.0 - exact.low], abs=1e-12)
    plain = interval_of(np.ones(200), confidence=0.95, clusters=10)  # a difference, say
    assert (plain.low, plain.high) == (1.0, 1.0)
    inside = interval_of(np.full(200, 0.5), confidence=0.95, clusters=10, is_share=True)  # all alike, but at no end
    assert (inside.low, inside.high) == (0.5, 0.5)


def test_a_perfect_models_figures_have_a_width_and_its_errors_none() -> None:
    label = np.tile([0.0, 1.0], 60)
    student = np.repeat(np.arange(12), 10)
    drawn = drawn_metrics(label, label * 0.8 + 0.1, student, resamples=50, seed=0)
    found = intervals_of(drawn, confidence=0.95, clusters=12, shares=SHARES)
    for name in ("auc", "accuracy"):
        assert found[name].low == pytest.approx(0.025 ** (1 / 12))
        assert found[name].high == 1.0
    assert found["brier"].low == found["brier"].high == pytest.approx(0.01)
