"""Every measure of every group against scikit-learn, under resampling and weights, and what is not estimable."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    brier_score_loss,
    log_loss,
    recall_score,
    roc_auc_score,
)

from components.errors import SchemaError
from components.evaluate.bootstrap import resampled_students
from components.evaluate.estimates import Drawn, Estimate, estimates_of, measured
from components.evaluate.measures import MEANINGS
from components.evaluate.rows import ScoredRows

Floats = npt.NDArray[np.float64]


def simulated(rows: int, students: int, seed: int, decimals: int = 2) -> ScoredRows:
    source = np.random.default_rng(seed)
    student = np.append(np.arange(students), source.integers(students, size=rows - students))
    probability = np.round(source.uniform(0.05, 0.95, rows), decimals)
    label = (source.random(rows) < probability).astype(np.float64)
    return ScoredRows(student=student, label=label, probability=probability)


def by_scikit_learn(y: Floats, p: Floats, weight: Floats) -> dict[str, float]:
    hard = (p >= 0.5).astype(np.float64)
    bins = np.minimum((p * 10).astype(int), 9)
    return {
        "auc": roc_auc_score(y, p, sample_weight=weight),
        "accuracy": accuracy_score(y, hard, sample_weight=weight),
        "calibration": np.average(p - y, weights=weight),
        "base_rate": np.average(y, weights=weight),
        "mean_probability": np.average(p, weights=weight),
        "selection_rate": np.average(hard, weights=weight),
        "true_positive_rate": recall_score(y, hard, sample_weight=weight),
        "false_positive_rate": 1 - recall_score(y, hard, pos_label=0, sample_weight=weight),
        "log_loss": log_loss(y, p, sample_weight=weight),
        "brier": brier_score_loss(y, p, sample_weight=weight),
        "balanced_accuracy": balanced_accuracy_score(y, hard, sample_weight=weight),
        "ece": sum(
            weight[bins == b].sum()
            / weight.sum()
            * abs(
                np.average(p[bins == b], weights=weight[bins == b])
                - np.average(y[bins == b], weights=weight[bins == b])
            )
            for b in range(10)
            if weight[bins == b].sum() > 0
        ),
    }


@pytest.mark.parametrize("is_weighted", [False, True])
def test_every_measure_and_every_resample_is_scikit_learns_with_weights(is_weighted: bool) -> None:
    plain = simulated(2_000, 80, 0)
    weight = np.random.default_rng(1).uniform(0.2, 3.0, 2_000) if is_weighted else None
    rows = ScoredRows(student=plain.student, label=plain.label, probability=plain.probability, weight=weight)
    group = np.arange(2_000) % 3  # a student is in all of them, as with skills
    found = measured(rows, group, 3, resamples=4, seed=7)
    own = np.ones(2_000) if weight is None else weight
    for g in range(3):
        at = group == g
        expected = by_scikit_learn(rows.label[at], rows.probability[at], own[at])
        assert {name: values[g] for name, values in found.value.items()} == pytest.approx(expected, abs=1e-9)
        for r, counts in enumerate(resampled_students(80, 4, 7)):
            drawn = by_scikit_learn(rows.label[at], rows.probability[at], own[at] * counts[rows.student[at]])
            assert {name: values[r, g] for name, values in found.drawn.items()} == pytest.approx(drawn, abs=1e-9)
    assert found.rows.tolist() == [667, 667, 666]
    assert set(found.value) == set(MEANINGS)


def test_a_weight_of_2_is_a_row_given_twice_and_one_of_0_none() -> None:
    plain = simulated(300, 20, 3)
    weight = np.random.default_rng(4).integers(0, 3, 300).astype(np.float64)
    weight[:20] = 1.0
    rows = ScoredRows(student=plain.student, label=plain.label, probability=plain.probability, weight=weight)
    again = np.repeat(np.arange(300), weight.astype(int))
    weighed = measured(rows.counted(), np.zeros(int((weight > 0).sum()), np.int64), 1, resamples=3, seed=0)
    repeated = measured(plain.at(again), np.zeros(len(again), np.int64), 1, resamples=3, seed=0)
    for name in MEANINGS:
        assert weighed.drawn[name] == pytest.approx(repeated.drawn[name], abs=1e-12)


def test_more_resamples_than_fit_at_once_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = simulated(500, 30, 5)
    whole = measured(rows, np.arange(500) % 2, 2, resamples=10, seed=1)
    monkeypatch.setattr("components.evaluate.estimates.WEIGHTS_AT_ONCE", 200)
    parts = measured(rows, np.arange(500) % 2, 2, resamples=10, seed=1)
    for name in MEANINGS:
        assert parts.drawn[name] == pytest.approx(whole.drawn[name], abs=1e-12)


def estimates(rows: ScoredRows, resamples: int = 200) -> dict[str, Estimate]:
    everyone = np.zeros(len(rows.label), np.int64)
    found: Drawn = measured(rows, everyone, 1, resamples=resamples, seed=0)
    return estimates_of(found, confidence=0.95)[0]


def test_the_interval_of_ece_holds_0_where_the_model_is_calibrated_and_leaves_it_out_where_it_is_not() -> None:
    held, missed = 0, 0
    for seed in range(40):
        rows = simulated(1_000, 200, seed, decimals=6)
        everyone = np.zeros(1_000, np.int64)
        (found,) = estimates_of(measured(rows, everyone, 1, resamples=100, seed=0), confidence=0.95)
        ece = found["ece"]
        assert ece.low is not None
        assert ece.value is not None
        assert ece.value > 0.01  # the plug-in error of a calibrated model is not 0
        held += ece.low == 0.0
        spoilt = ScoredRows(
            student=rows.student, label=rows.label, probability=np.clip(rows.probability + 0.2, 0.0, 1.0)
        )
        (found,) = estimates_of(measured(spoilt, everyone, 1, resamples=100, seed=0), confidence=0.95)
        low, high = found["ece"].low, found["ece"].high
        assert low is not None
        assert high is not None
        missed += not (low > 0.0 and low < 0.19 < high)
    assert held >= 37
    assert missed <= 3


def test_one_class_has_no_auc_no_balanced_accuracy_and_no_rate_of_the_other_class() -> None:
    rows = simulated(400, 40, 6)
    found = estimates(ScoredRows(student=rows.student, label=np.ones(400), probability=rows.probability))
    for name in ("auc", "balanced_accuracy", "false_positive_rate"):
        assert found[name].status == "not_estimable"
        assert found[name].value is None
    assert found["accuracy"].status == "ok"


def test_a_group_without_rows_decides_nothing() -> None:
    found = measured(simulated(100, 20, 8), np.zeros(100, np.int64), 2, resamples=20, seed=0)
    empty = estimates_of(found, confidence=0.95)[1]
    assert {one.status for one in empty.values()} == {"not_estimable"}
    assert (found.rows.tolist(), found.students.tolist()) == ([100, 0], [20, 0])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"label": np.ones(9)}, r"label has 9, probability has 10, student has 10.*one value of each"),
        ({"probability": np.array([0.5] * 9 + [np.nan])}, r"1 of 10 values of probability.*row 9"),
        ({"probability": np.array([0.5] * 8 + [1.2, -3])}, r"2 of 10 values of probability.*row 8"),
        ({"label": np.full(10, 2.0)}, r"10 of 10 values of label are outside \[0, 1\]"),
        ({"student": np.array([-1] + [0] * 9)}, r"1 of 10 rows have a negative student index"),
        ({"weight": np.zeros(10)}, r"All 10 weights are 0, so that no row counts"),
        ({"weight": np.array([1.0] * 9 + [-1.0])}, r"1 of 10 weights are negative.*-1.0 in row 9"),
        ({"weight": np.array([np.nan] + [1.0] * 9)}, r"1 of 10 weights are negative or no number"),
        ({"weight": np.ones(3)}, r"weight has 3"),
    ],
)
def test_rows_that_do_not_fit_are_refused_with_the_reason(changed: dict[str, Floats], said: str) -> None:
    good: dict[str, Any] = {
        "student": np.arange(10) % 3,
        "label": np.arange(10) % 2 * 1.0,
        "probability": np.linspace(0, 1, 10),
    }
    ScoredRows(**good).check()
    with pytest.raises(SchemaError, match=said):
        ScoredRows(**(good | changed)).check()
