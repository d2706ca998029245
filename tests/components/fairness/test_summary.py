"""One number over all groups: fairlearn's values, intervals that hold, and what is never 0."""

import importlib
from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from components.fairness.config import FairnessConfig
from components.fairness.groups import ScoredRows, compare_groups
from components.fairness.summary import SUMMARIES

Simulate = Callable[..., ScoredRows]
QUICK = FairnessConfig(resamples=100)


def test_values_are_fairlearns_and_scikit_learns(simulate: Simulate) -> None:
    fairlearn = importlib.import_module("fairlearn.metrics")
    source = np.random.default_rng(0)
    values = source.choice(["a", "b", "c"], 150, p=[0.5, 0.3, 0.2]).tolist()
    rows = simulate(150, 30, 1, shift=np.where(np.array(values) == "b", -0.2, 0.0))
    found = compare_groups(rows, values, QUICK).summary
    y, p = rows.label.astype(int), rows.probability.astype(np.float64)
    hard, group = (p >= 0.5).astype(int), np.array(values)[rows.student]
    named = {"sensitive_features": group}
    aucs = [roc_auc_score(y[group == g], p[group == g]) for g in "abc"]
    errors = [p[group == g].mean() - y[group == g].mean() for g in "abc"]
    expected = {
        "demographic_parity_difference": fairlearn.demographic_parity_difference(y, hard, **named),
        "demographic_parity_ratio": fairlearn.demographic_parity_ratio(y, hard, **named),
        "equalized_odds_difference": fairlearn.equalized_odds_difference(y, hard, **named),
        "equal_opportunity_difference": fairlearn.equal_opportunity_difference(y, hard, **named),
        "worst_group_auc": min(aucs),
        "auc_gap": max(aucs) - min(aucs),
        "calibration_gap": max(errors) - min(errors),
        "max_calibration_error": max(map(abs, errors)),
    }
    for name, value in expected.items():
        its = found[name]
        assert its.value == pytest.approx(value, abs=1e-9), name
        assert its.low is not None
        assert its.high is not None
        assert its.low <= its.value <= its.high, name  # type: ignore[operator]  # not None: equal to a number
        assert (its.groups, its.shown) == (3, 3)
    assert set(found) == set(SUMMARIES)


def test_intervals_of_gaps_hold_the_truth_as_often_as_they_say(simulate: Simulate) -> None:
    """Four equal groups: every difference is truly 0, though every estimate is above."""
    held = dict.fromkeys(("demographic_parity_difference", "equalized_odds_difference", "auc_gap"), 0)
    ratio = 0
    for seed in range(40):
        shift = np.random.default_rng(seed).normal(0, 0.08, 160)
        found = compare_groups(simulate(160, 15, seed, shift=shift), ["a", "b", "c", "d"] * 40, QUICK).summary
        for name in held:
            low, value = found[name].low, found[name].value
            assert low is not None
            assert value is not None
            assert value > 0
            held[name] += low == 0.0
        ratio += found["demographic_parity_ratio"].high == 1.0
    assert min(held.values()) >= 36, held  # 38 expected
    assert ratio >= 36


def test_a_planted_gap_of_rates_lies_in_its_interval_and_its_low_end_is_above_0(simulate: Simulate) -> None:
    rows = simulate(400, 30, 3)
    low = rows.student < 200
    rows = ScoredRows(
        student=rows.student, label=rows.label, probability=np.where(low, rows.probability - 0.15, rows.probability)
    )
    found = compare_groups(rows, ["low"] * 200 + ["high"] * 200, QUICK).summary
    truth = 0.15 / 0.6  # of probabilities even on [.2, .8], the share that crosses one half
    its = found["demographic_parity_difference"]
    assert its.low is not None
    assert its.high is not None
    assert 0.0 < its.low < truth < its.high
    its = found["demographic_parity_ratio"]
    assert its.low is not None
    assert its.high is not None
    assert its.low < (0.5 - truth) / 0.5 < its.high < 1.0


def test_fewer_than_two_groups_decide_nothing_and_are_not_0(simulate: Simulate) -> None:
    rows = simulate(100, 20, 4)
    one = compare_groups(rows, ["a"] * 97 + ["b"] * 3, QUICK).summary
    assert {(s.status, s.value, s.low, s.groups, s.shown) for s in one.values()} == {("too_few", None, None, 1, 1)}
    label = np.where(rows.student < 50, 1.0, rows.label)
    classless = ScoredRows(student=rows.student, label=label, probability=rows.probability)
    found = compare_groups(classless, ["a"] * 50 + ["b"] * 50, QUICK).summary
    for name in ("auc_gap", "worst_group_auc", "equalized_odds_difference"):
        assert (found[name].status, found[name].value, found[name].groups, found[name].shown) == (
            "not_estimable",
            None,
            1,
            2,
        )
    assert found["demographic_parity_difference"].status == "ok"
    rare = simulate(100, 100, 5)  # 10,000 rows, 20 wrong answers
    label = np.ones(10_000)
    label[::500] = 0.0
    few = compare_groups(
        ScoredRows(student=rare.student, label=label, probability=rare.probability), ["a", "b"] * 50, QUICK
    )
    assert few.summary["auc_gap"].status == "too_few"
    assert [g.estimates["auc"].status for g in few.groups] == ["too_few", "too_few"]


def test_a_ratio_of_a_rate_that_resampling_often_misses_is_not_told_more_exactly_than_one_of_0(
    simulate: Simulate,
) -> None:
    """One selected row of one student: a third of the resamples have none, and the logarithm of 0 was left out."""
    rows = simulate(60, 20, 3)
    few = rows.student < 20
    probability = np.where(few, rows.probability * 0.4, rows.probability)
    probability[0] = 0.9
    rare = ScoredRows(student=rows.student, label=rows.label, probability=probability)
    its = compare_groups(rare, ["a"] * 20 + ["b"] * 40, QUICK).summary["demographic_parity_ratio"]
    assert its.status == "ok"
    share = float((rare.probability[rare.student >= 20] >= 0.5).mean())
    assert its.value == pytest.approx(1 / 400 / share)
    assert its.low == 0.0
    assert its.high is not None
    assert its.high >= min(1.0, 0.139 / share)  # 0 of 20 students: 1 - .05 ** (1 / 20)


def test_a_group_of_which_nobody_is_selected_has_a_ratio_of_0_with_an_honest_upper_end(simulate: Simulate) -> None:
    rows = simulate(60, 20, 6)
    never = ScoredRows(
        student=rows.student, label=rows.label, probability=np.where(rows.student < 20, 0.1, rows.probability)
    )
    its = compare_groups(never, ["a"] * 20 + ["b"] * 40, QUICK).summary["demographic_parity_ratio"]
    # 0 of 20 students: up to 1 - .025 ** (1 / 20) = .168 may be selected, beside about one half
    selected = float((never.probability[never.student >= 20] >= 0.5).mean())
    assert (its.value, its.low) == (0.0, 0.0)
    assert its.high == pytest.approx((1 - 0.025 ** (1 / 20)) / selected)
    none = ScoredRows(student=rows.student, label=rows.label, probability=rows.probability * 0.1)
    found = compare_groups(none, ["a"] * 20 + ["b"] * 40, QUICK).summary
    assert found["demographic_parity_ratio"].status == "not_estimable"


def test_a_constant_model_has_a_gap_of_0_and_a_worst_auc_of_one_half(simulate: Simulate) -> None:
    rows = simulate(60, 20, 7)
    flat = ScoredRows(student=rows.student, label=rows.label, probability=np.full(1_200, 0.6))
    found = compare_groups(flat, ["a", "b"] * 30, QUICK).summary
    assert (found["worst_group_auc"].value, found["auc_gap"].value) == (0.5, 0.0)
    assert found["demographic_parity_difference"].value == 0.0
