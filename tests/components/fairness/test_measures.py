"""Measures of each group against fairlearn, where it is installed, or scikit-learn group by group."""

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss, recall_score, roc_auc_score

from components.evaluate.bootstrap import student_sums
from components.fairness.config import FairnessConfig
from components.fairness.groups import ScoredRows, compare_groups
from components.fairness.measures import COLUMNS, ratios_of, row_values

Metric = Callable[[Any, Any], float]  # Any: array-likes of either library
HARD: dict[str, Metric] = {
    "accuracy": accuracy_score,
    "true_positive_rate": recall_score,
    "false_positive_rate": lambda y, p: 1.0 - recall_score(y, p, pos_label=0),
    "selection_rate": lambda y, p: float(np.mean(p)),
    "base_rate": lambda y, p: float(np.mean(y)),
}
SOFT: dict[str, Metric] = {"auc": roc_auc_score, "log_loss": log_loss, "brier": brier_score_loss}


def reference(
    metrics: dict[str, Metric], y: npt.NDArray[Any], p: npt.NDArray[Any], group: npt.NDArray[Any]
) -> dict[str, dict[str, float]]:
    """Return metric -> group -> value by fairlearn's MetricFrame, else by calling the metric on each group's rows."""
    if importlib.util.find_spec("fairlearn") is not None:
        frame = importlib.import_module("fairlearn.metrics").MetricFrame(
            metrics=metrics, y_true=y, y_pred=p, sensitive_features=group
        )
        return {name: {g: float(v) for g, v in frame.by_group[name].items()} for name in metrics}
    return {
        name: {g: float(metric(y[group == g], p[group == g])) for g in np.unique(group)}
        for name, metric in metrics.items()
    }


def test_measures_by_group_equal_the_reference(simulate: Callable[..., ScoredRows]) -> None:
    source = np.random.default_rng(12)
    rows = simulate(120, 30, 5)
    rows = ScoredRows(student=rows.student, label=rows.label, probability=np.round(rows.probability, 2))  # ties
    values = source.choice(["a", "b", "c"], size=120, p=[0.6, 0.25, 0.15]).tolist()
    found = compare_groups(rows, values, FairnessConfig(resamples=20))
    group = np.array(values)[rows.student]
    y, p = rows.label.astype(int), rows.probability.astype(np.float64)
    expected = reference(HARD, y, (p >= 0.5).astype(int), group) | reference(SOFT, y, p, group)
    assert [g.name for g in found.groups] == ["a", "b", "c"]
    for g in found.groups:
        assert g.students == values.count(g.name)
        assert g.scored == 30 * values.count(g.name)
        for name, by_group in expected.items():
            assert g.estimates[name].value == pytest.approx(by_group[g.name], abs=1e-6), name
        inside = group == g.name
        assert g.estimates["calibration"].value == pytest.approx(p[inside].mean() - y[inside].mean(), abs=1e-6)
        assert g.estimates["mean_probability"].value == pytest.approx(p[inside].mean(), abs=1e-6)


def test_three_rows_give_the_sums_and_ratios_worked_out_by_hand() -> None:
    label, probability = np.array([1.0, 0.25, 1.0]), np.array([0.75, 0.5, 0.25])
    sums = student_sums(row_values(label, probability), np.zeros(3, np.int64), 1)
    assert dict(zip(COLUMNS, sums[0], strict=True)) == pytest.approx(
        {
            "rows": 3,
            "right": 2,
            "wrong": 1,
            "label": 2.25,
            "probability": 1.5,
            "hit": 1,
            "log_loss": -np.log(0.75) - np.log(0.5) - np.log(0.25),
            "brier": 0.0625 + 0.0625 + 0.5625,
            "positive": 2,
            "true_pos": 1,
            "false_pos": 1,
        }
    )
    ratios = ratios_of(np.asarray(sums, np.float64))
    assert ratios["calibration"] == pytest.approx([(1.5 - 2.25) / 3])
    assert ratios["true_positive_rate"] == pytest.approx([0.5])
    assert ratios["false_positive_rate"] == pytest.approx([1.0])


def test_a_ratio_without_rows_is_no_number() -> None:
    sums = np.zeros((1, len(COLUMNS)))
    assert all(np.isnan(v).all() for v in ratios_of(sums).values())
