"""A model beside its baselines: paired differences against literal resampling, and the verdict in words."""

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import brier_score_loss, roc_auc_score

from components.evaluate.baselines import Baseline
from components.evaluate.bootstrap import resampled_students
from components.evaluate.comparison import Comparison, compared
from components.evaluate.config import EvaluateConfig

CONFIG = EvaluateConfig(resamples=60, confidence=0.9, seed=4)
Floats = npt.NDArray[np.float64]


def baseline(probability: Floats) -> Baseline:
    return Baseline(title="a baseline", formula="none", probability=probability)


def data(seed: int, students: int = 40, rows: int = 1_200) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
    """Labels, a probability that knows something of them, and students."""
    source = np.random.default_rng(seed)
    label = (source.random(rows) < 0.6).astype(np.float64)
    knowing = np.clip(source.normal(0.5 + 0.15 * label, 0.2), 0.01, 0.99)
    return label, knowing, source.integers(students, size=rows)


def judged(model: Floats, other: Floats, label: Floats, student: npt.NDArray[np.int64]) -> Comparison:
    return compared(label, model, student, {"other": baseline(other)}, np.arange(len(label)), CONFIG)


def test_differences_are_resampled_in_pairs() -> None:
    label, knowing, student = data(1)
    rows = np.flatnonzero(student != 7)  # only some rows are scored
    other = np.clip(knowing + np.random.default_rng(2).normal(0, 0.1, len(label)), 0.01, 0.99)
    found = compared(label, knowing, student, {"other": baseline(other)}, rows, CONFIG)
    y, p, q, s = label[rows], knowing[rows], other[rows], student[rows]
    known = np.unique(s)
    drawn = []
    for counts in resampled_students(len(known), 60, seed=4):
        taken = np.concatenate([np.flatnonzero(s == known[i]) for i, n in enumerate(counts) for _ in range(n)])
        auc = roc_auc_score(y[taken], p[taken]) - roc_auc_score(y[taken], q[taken])
        drawn.append([auc, brier_score_loss(y[taken], p[taken]) - brier_score_loss(y[taken], q[taken])])
    ends = np.quantile(np.array(drawn), [0.05, 0.95], axis=0)
    for column, name in enumerate(("auc", "brier")):
        interval = found.baselines["other"].differences[name].interval
        assert (interval.low, interval.high) == pytest.approx(tuple(ends[:, column]), abs=1e-10)
    expected = roc_auc_score(y, p) - roc_auc_score(y, q)
    assert found.baselines["other"].differences["auc"].value == pytest.approx(expected, abs=1e-12)
    assert (found.scored, found.students) == (len(rows), len(known))
    assert found.base_rate == pytest.approx(y.mean())


def test_a_model_that_equals_its_baseline_is_not_shown_to_be_better() -> None:
    label, knowing, student = data(3)
    found = judged(knowing, knowing.copy(), label, student)
    interval = found.baselines["other"].differences["auc"].interval
    assert (interval.low, interval.high) == (0.0, 0.0)
    assert found.verdict == "not_better"
    assert "The model is not shown to be better than a baseline" in found.sentence(0.9)
    assert "90% interval +0.0000 to +0.0000" in found.sentence(0.9)


def test_the_verdict_says_better_and_worse() -> None:
    label, knowing, student = data(5)
    blind = np.full(len(label), 0.6)
    better, worse = judged(knowing, blind, label, student), judged(blind, knowing, label, student)
    assert (better.verdict, worse.verdict) == ("better", "not_better")
    assert better.sentence(0.9).startswith("The model is better than a baseline: AUC 0.")
    assert worse.sentence(0.9).startswith("The model is worse, not better than a baseline: AUC 0.5000 against")


def test_one_student_tells_nothing() -> None:
    label, knowing, _ = data(6)
    found = judged(knowing, np.full(len(label), 0.5), label, np.zeros(len(label), np.int64))
    assert found.verdict == "not_estimable"
    assert "cannot be told from so few students" in found.sentence(0.9)


def test_the_model_is_judged_against_the_best_baseline() -> None:
    label, knowing, student = data(7)
    weak = np.clip(knowing + np.random.default_rng(1).normal(0, 0.3, len(label)), 0, 1)
    several = {"blind": baseline(np.full(len(label), 0.5)), "same": baseline(knowing), "weak": baseline(weak)}
    found = compared(label, knowing, student, several, np.arange(len(label)), CONFIG)
    assert found.best == "same"
    assert found.verdict == "not_better"
    low = found.baselines["weak"].differences["auc"].interval.low
    assert low is not None
    assert low > 0
