"""Metrics against hand calculations and scikit-learn's own definitions."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, log_loss

from components.errors import NotEnoughDataError, SchemaError
from components.evaluate.metrics import losses_of, metrics_of


def test_four_answers_with_a_tie_give_the_values_worked_out_by_hand() -> None:
    found = metrics_of(np.array([1.0, 0.0, 1.0, 0.0]), np.array([0.9, 0.4, 0.4, 0.1]))
    # pairs (right, wrong): .9>.4, .9>.1, .4=.4 (one half), .4>.1
    assert found.auc == pytest.approx(3.5 / 4, abs=1e-15)
    assert found.accuracy == 0.75
    assert found.brier == pytest.approx((0.01 + 0.16 + 0.36 + 0.01) / 4, abs=1e-15)
    assert found.log_loss == pytest.approx(-(math.log(0.9) + math.log(0.6) + math.log(0.4) + math.log(0.9)) / 4)


def test_binary_labels_give_the_usual_log_loss_and_brier_score() -> None:
    source = np.random.default_rng(1)
    y = (source.random(500) < 0.7).astype(np.float32)
    p = source.uniform(0.01, 0.99, 500).astype(np.float32)
    found = metrics_of(y, p)
    assert found.log_loss == pytest.approx(log_loss(y, p.astype(np.float64)), abs=1e-12)
    assert found.brier == pytest.approx(brier_score_loss(y, p.astype(np.float64)), abs=1e-12)


def test_scores_between_zero_and_one_count_as_right_from_one_half_on_and_whole_in_the_losses() -> None:
    found = metrics_of(np.array([0.5, 0.25, 1.0]), np.array([0.6, 0.2, 0.1]))
    assert found.auc == 0.5  # right: .6 and .1, wrong: .2
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.brier == pytest.approx((0.1**2 + 0.05**2 + 0.9**2) / 3)
    by_hand = [
        -(0.5 * math.log(0.6) + 0.5 * math.log(0.4)),
        -(0.25 * math.log(0.2) + 0.75 * math.log(0.8)),
        -math.log(0.1),
    ]
    assert found.log_loss == pytest.approx(sum(by_hand) / 3)


def test_a_certain_mistake_costs_the_logarithm_of_the_clip() -> None:
    found = metrics_of(np.array([1.0, 0.0]), np.array([0.0, 0.0]))
    assert found.log_loss == pytest.approx((-math.log(1e-7) - math.log1p(-1e-7)) / 2)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1, width=32), st.floats(0, 1, width=32)), min_size=1, max_size=30))
def test_row_losses_average_to_the_metrics(rows: list[tuple[float, float]]) -> None:
    # one right and one wrong answer more, so that AUC is defined
    label = np.array([1.0, 0.0, *(y for y, _ in rows)], np.float32)
    probability = np.array([0.5, 0.5, *(p for _, p in rows)], np.float32)
    found = metrics_of(label, probability)
    mean = losses_of(label, probability).mean(axis=0)
    assert mean == pytest.approx([found.accuracy, found.log_loss, found.brier], abs=1e-9)


def test_one_class_has_no_auc() -> None:
    with pytest.raises(NotEnoughDataError, match=r"3 scored answers hold 1 of the two classes.*more students"):
        metrics_of(np.ones(3), np.array([0.2, 0.3, 0.4]))


@pytest.mark.parametrize("wrong", [1.5, -0.1, math.nan])
def test_logits_and_missing_numbers_are_refused(wrong: float) -> None:
    with pytest.raises(SchemaError, match=r"1 of 3 values of probability are outside \[0, 1\].*row 1.*not logits"):
        metrics_of(np.array([1.0, 0.0, 1.0]), np.array([0.2, wrong, 0.4]))
