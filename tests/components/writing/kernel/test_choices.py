"""What is chosen on validation texts, against scikit-learn and by hand."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from components.writing.codec import Rubric
from components.writing.kernel.choices import label_biases, macro_f1, places_of, points_of


def test_macro_f1_is_that_of_scikit_learn() -> None:
    source = np.random.default_rng(0)
    for labels in (2, 3, 5):
        given, found = source.integers(0, labels, (2, 200))
        assert macro_f1(given, found, labels) == pytest.approx(f1_score(given, found, average="macro"))
    one = np.zeros(5, np.int64)
    assert macro_f1(one, one, 3) == 1.0  # labels that nobody gave say nothing


def test_a_rare_label_that_never_wins_is_raised() -> None:
    # of 8 answers 2 are of label 1, whose share never reaches that of label 0, yet is higher than elsewhere
    shares = np.array([[0.8, 0.1]] * 6 + [[0.55, 0.45]] * 2)
    given = np.array([0] * 6 + [1] * 2)
    bias, f1 = label_biases(shares, given)
    assert f1 == 1.0
    assert bias.tolist() == pytest.approx([0.0, 0.15])


def test_labels_that_are_told_apart_are_left_as_they_are() -> None:
    bias, f1 = label_biases(np.eye(3), np.arange(3))
    assert bias.tolist() == [0.0, 0.0, 0.0]
    assert f1 == 1.0


def test_points_of_a_rubric_in_half_steps() -> None:
    rubric = Rubric(low=1, high=3, step=0.5)
    assert points_of(rubric).tolist() == [1.0, 1.5, 2.0, 2.5, 3.0]
    assert places_of(np.array([1.0, 2.5, 3.0]), rubric).tolist() == [0, 3, 4]
