"""Useless models are named as such."""

import numpy as np
import pytest

from components.evaluate.estimates import estimates_of, measured
from components.evaluate.rows import ScoredRows
from components.evaluate.usefulness import useless_of


def said(probability: np.ndarray, label: np.ndarray) -> str | None:
    rows = ScoredRows(student=np.arange(len(label)), label=label, probability=probability)
    (found,) = estimates_of(measured(rows, np.zeros(len(label), np.int64), 1, resamples=200, seed=0), confidence=0.95)
    return useless_of(probability, found["auc"], found["balanced_accuracy"])


@pytest.fixture
def label() -> np.ndarray:
    return np.asarray(np.random.default_rng(0).random(1_000) < 0.7, np.float64)


def test_a_model_that_says_something_is_not_named(label: np.ndarray) -> None:
    noise = np.random.default_rng(1).normal(0, 0.3, 1_000)
    assert said(np.clip(0.3 + 0.4 * label + noise, 0, 1), label) is None


def test_a_constant_a_coin_and_a_model_that_passes_all_are_named_and_never_called_fair(label: np.ndarray) -> None:
    constant = said(np.full(1_000, 0.7), label)
    assert constant is not None
    assert "gives every answer the same probability" in constant
    coin = said(np.random.default_rng(2).random(1_000), label)
    assert coin is not None
    assert "no better than a coin (AUC 0." in coin
    all_pass = said(0.75 + 0.2 * label * np.random.default_rng(3).random(1_000), label)
    assert all_pass is not None
    assert "all probabilities are at least it (balanced accuracy 0.500)" in all_pass
    barely = said(np.where(np.arange(1_000) < 995, 0.6, 0.4) + 0.05 * label, label)
    assert barely is not None
    assert "useless at the threshold 0.5: balanced accuracy 0.499" in barely
    for sentence in (constant, coin, all_pass, barely):
        assert "they do not make it fair" in sentence
