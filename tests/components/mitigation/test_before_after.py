"""Figures before and after: each is the plain one, and their difference is of the same resamples."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.metrics import log_loss, roc_auc_score

from components.evaluate.bootstrap import resampled_students
from components.evaluate.rows import ScoredRows
from components.fairness.config import FairnessConfig
from components.fairness.groups import compare_groups
from components.fairness.intersections import students_kept
from components.fairness.report import gaps_json
from components.fairness.table import tables_of
from components.mitigation.before_after import MEASURES, Resampling, before_and_after

HOW = Resampling(resamples=60, confidence=0.9, seed=3, decimals=9)
QUICK = FairnessConfig(resamples=40)


def spoilt(students: int, seed: int) -> tuple[ScoredRows, Any]:  # Any: an array
    """Return predictions that are too sure of themselves, and what an affine map makes of them."""
    source = np.random.default_rng(seed)
    student = np.repeat(np.arange(students), 15)
    truth = expit(source.normal(0.2, 0.8, len(student)) + source.normal(0.0, 0.5, students)[student])
    label = (source.random(len(student)) < truth).astype(np.float64)
    return ScoredRows(student=student, label=label, probability=expit(3.0 * logit(truth) + 0.6)), truth


def test_all_figures_are_those_of_plain_loops_over_the_same_draws() -> None:
    before, after = spoilt(40, 0)
    (found,) = before_and_after(before, after, np.zeros(len(after), np.int64), 1, HOW)
    assert set(found) == {"before", "after", "difference"}
    values: Any = found
    assert all(set(values[title]) == set(MEASURES) for title in found)
    y = before.label
    drawn = []
    for counts in resampled_students(40, 60, 3):
        weight = counts[before.student].astype(np.float64)
        drawn.append(
            [f(y, p, sample_weight=weight) for f in (log_loss, roc_auc_score) for p in (before.probability, after)]
        )
    loss_before, loss_after, auc_before, auc_after = np.array(drawn).T
    for measure, function, first, second in (
        ("log_loss", log_loss, loss_before, loss_after),
        ("auc", roc_auc_score, auc_before, auc_after),
    ):
        whole = function(y, before.probability), function(y, after)
        for title, value, own in (
            ("before", whole[0], first),
            ("after", whole[1], second),
            ("difference", whole[1] - whole[0], second - first),
        ):
            low, high = np.quantile(own, [0.05, 0.95])
            assert values[title][measure] == {
                "status": "ok",
                "value": pytest.approx(value, abs=1e-8),
                "low": pytest.approx(low, abs=1e-8),
                "high": pytest.approx(high, abs=1e-8),
            }
    # a pair of answers knows more than two figures side by side
    difference = values["difference"]["log_loss"]
    assert difference["high"] < 0.0
    assert (
        difference["high"] - difference["low"]
        < values["before"]["log_loss"]["high"] - values["before"]["log_loss"]["low"]
    )


def test_what_is_not_changed_differs_by_nothing() -> None:
    before, _ = spoilt(40, 1)
    group = before.student % 2
    for own in before_and_after(before, before.probability, group, 2, HOW):
        values: Any = own
        assert own["before"] == own["after"]
        for measure in MEASURES:
            found = values["difference"][measure]
            assert found["value"] == 0.0
            assert found["low"] <= 0.0 <= found["high"]
            assert measure == "ece" or found["low"] == found["high"] == 0.0


def test_a_measure_that_the_rows_do_not_decide_has_no_difference() -> None:
    before, after = spoilt(40, 2)
    one_class = replace(before, label=np.ones(len(after)))
    (found,) = before_and_after(one_class, after, np.zeros(len(after), np.int64), 1, HOW)
    values: Any = found
    assert values["difference"]["auc"] == {"status": "not_estimable"}
    assert values["difference"]["true_positive_rate"]["status"] == "ok"


def test_the_error_of_calibration_falls_and_its_difference_is_told() -> None:
    before, after = spoilt(200, 3)
    (found,) = before_and_after(before, after, np.zeros(len(after), np.int64), 1, replace(HOW, resamples=200))
    values: Any = found
    assert values["before"]["ece"]["value"] > 0.1 > 0.05 > values["after"]["ece"]["value"]
    assert values["difference"]["ece"]["high"] < 0.0


def test_groups_are_those_of_the_table_and_small_ones_are_not_shown() -> None:
    before, after = spoilt(104, 4)
    values = ["f"] * 50 + ["m"] * 50 + ["x"] * 4
    rows = replace(before, probability=after)
    assert tables_of(rows, {"gender": values}, ["gender"], QUICK).mitigation is None
    tables = tables_of(rows, {"gender": values}, ["gender"], QUICK, before.probability)
    assert tables.mitigation is not None
    told: Any = tables.mitigation["attributes"]
    assert [group["group"] for group in told["gender"]["groups"]] == ["f", "m"]
    # Beside the small group students at random are left out, so that it does not follow from totals.
    sizes = {"min_students": QUICK.min_students, "min_scored": QUICK.min_scored}
    kept = students_kept({"gender": values}, ["gender"], np.bincount(rows.student), **sizes)
    number = np.full(len(values), -1)
    number[kept] = np.arange(len(kept))
    plain, mapped = (
        compare_groups(replace(its, student=number[its.student]), [values[s] for s in kept], QUICK)
        for its in (r.at(number[r.student] >= 0) for r in (before, rows))
    )
    for group in told["gender"]["groups"]:
        for title, comparison in (("before", plain), ("after", mapped)):
            (same,) = (g for g in comparison.groups if g.name == group["group"])
            for measure in MEASURES:
                estimate = same.estimates[measure]
                assert group[title][measure]["status"] == estimate.status
                assert group[title][measure]["value"] == pytest.approx(estimate.value, abs=0.00051)
                assert group[title][measure]["low"] == pytest.approx(estimate.low, abs=0.00051)
    assert told["gender"]["gaps_before"] == gaps_json(plain, QUICK.gap_limits)
