"""The affine map of the logit: what was planted is found again, as scikit-learn finds it, or nothing is done."""

import json

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from components.layers.affine import AffineLogit
from components.mitigation.affine import Affine, fit_affine

Floats = npt.NDArray[np.float64]


def answers(count: int, slope: float, intercept: float, seed: int = 0) -> tuple[Floats, Floats]:
    """Return the logits of a model, and labels whose true logit is slope * logit + intercept."""
    source = np.random.default_rng(seed)
    logit = source.normal(0.3, 1.4, count)
    return logit, (source.random(count) < expit(slope * logit + intercept)).astype(np.float64)


@pytest.mark.parametrize(("slope", "intercept"), [(0.4, -0.7), (1.0, 0.5), (2.5, 0.0)])
def test_a_planted_error_is_found_again(slope: float, intercept: float) -> None:
    found = fit_affine(*answers(40_000, slope, intercept), min_scored=200)
    assert found.is_fitted
    # three standard errors at 40,000 answers, from the curvature of the log loss, are below these
    assert found.slope == pytest.approx(slope, rel=0.06)
    assert found.intercept == pytest.approx(intercept, abs=0.06)


def test_it_is_logistic_regression_of_scikit_learn_without_a_penalty() -> None:
    logit, label = answers(3_000, 0.5, 0.8, seed=1)
    found = fit_affine(logit, label, min_scored=200)
    reference = LogisticRegression(C=np.inf, tol=1e-10, solver="newton-cholesky").fit(logit[:, None], label)
    assert found.slope == pytest.approx(reference.coef_[0, 0], abs=1e-6)
    assert found.intercept == pytest.approx(reference.intercept_[0], abs=1e-6)
    assert found.log_loss_before == pytest.approx(log_loss(label, expit(logit)), abs=1e-9)
    assert found.log_loss_after == pytest.approx(log_loss(label, reference.predict_proba(logit[:, None])), abs=1e-9)
    # what the intercept's derivative of 0 says: on these answers the mean probability is the mean label
    assert expit(found.slope * logit + found.intercept).mean() == pytest.approx(label.mean(), abs=1e-9)


def test_a_label_between_is_part_right_and_part_wrong() -> None:
    logit, _ = answers(800, 1.0, 0.0)
    label = np.random.default_rng(5).integers(0, 5, 800) / 4.0 * 0.5 + 0.5 * expit(logit)
    found = fit_affine(logit, label, min_scored=200)
    twice = np.r_[logit, logit][:, None]
    reference = LogisticRegression(C=np.inf, tol=1e-10, solver="newton-cholesky").fit(
        twice, np.repeat([1, 0], 800), sample_weight=np.r_[label, 1.0 - label]
    )
    assert found.slope == pytest.approx(reference.coef_[0, 0], abs=1e-6)
    assert found.intercept == pytest.approx(reference.intercept_[0], abs=1e-6)


def test_two_kinds_of_answers_by_hand() -> None:
    # at logit -1 a quarter is right, at logit 1 three in five: the map goes through log(1/3) and log(3/2)
    logit = np.repeat([-1.0, 1.0], [40, 50])
    label = np.r_[np.repeat([1.0, 0.0], [10, 30]), np.repeat([1.0, 0.0], [30, 20])]
    found = fit_affine(logit, label, min_scored=20)
    assert found.slope == pytest.approx((np.log(3 / 2) - np.log(1 / 3)) / 2)
    assert found.intercept == pytest.approx((np.log(3 / 2) + np.log(1 / 3)) / 2)


def test_where_the_answers_decide_on_nothing_they_stay_and_the_reason_is_told() -> None:
    logit, label = answers(600, 1.0, 0.0)
    parted = (logit > 0.3).astype(np.float64)
    cases = {
        "has 150 scored answers, min_scored asks for 200": (logit[:150], label[:150]),
        "of 600 validation answers 0 are of the rarer class, 10 are needed": (logit, np.ones(600)),
        "the same probability": (np.full(600, 0.4), label),
        "which is not within 0.05 and 20": (logit, parted),
        "ask for a slope of -": (-logit, label),
    }
    for reason, (logits, labels) in cases.items():
        found = fit_affine(logits, labels, min_scored=200)
        assert reason in found.reason
        assert (found.is_fitted, found.slope, found.intercept) == (False, 1.0, 0.0)
        told = json.loads(json.dumps(found.to_json(), allow_nan=False))
        assert told["status"] == "not_fitted"
        assert "slope" not in told


def test_answers_that_are_all_but_certain_overflow_nowhere() -> None:
    logit, label = answers(2_000, 0.02, 0.0)
    found = fit_affine(logit * 50.0, label, min_scored=200)
    assert not found.is_fitted  # a slope of 0.0004
    assert fit_affine(np.r_[logit * 10.0, 400.0, -400.0], np.r_[label, 0.0, 1.0], min_scored=200).answers == 2_002


def test_a_map_that_was_not_set_leaves_every_bit_and_one_that_was_keeps_the_order() -> None:
    layer = AffineLogit()
    logit = torch.randn(4_000, generator=torch.Generator().manual_seed(0)) * 30
    assert torch.equal(layer(logit), logit)
    layer.set(0.25, -1.5)
    assert torch.allclose(layer(logit), 0.25 * logit - 1.5, atol=1e-5)
    order = logit.argsort()
    assert (layer(logit)[order].diff() >= 0).all()
    assert not list(layer.parameters())  # nothing that training changes
    for slope in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="expected above 0"):
            layer.set(slope, 0.0)


def test_what_is_told_of_a_fitted_map() -> None:
    told = Affine(slope=0.8, intercept=0.1, answers=500, log_loss_before=0.6, log_loss_after=0.55).to_json()
    assert told == {
        "format": 1,
        "kind": "affine",
        "by": "",
        "status": "ok",
        "reason": "",
        "split": "valid",
        "answers": 500,
        "slope": 0.8,
        "intercept": 0.1,
        "log_loss_before": 0.6,
        "log_loss_after": 0.55,
    }
