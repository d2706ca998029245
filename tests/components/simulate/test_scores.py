"""The simulated scores have the gaps that they say and are compared as the gate does; what the gate makes of them."""

import numpy as np
import pytest
from scipy.stats import binom
from sklearn.metrics import recall_score, roc_auc_score

from components.fairness.groups import ScoredRows, compare_groups
from components.simulate.scores import AUC, TPR, ScoreSimulator, limits

SCENARIOS = {"none": {}, "AUC lower by .05": {"auc_gap": 0.05}, "TPR lower by .10": {"tpr_gap": 0.10}}


@pytest.mark.parametrize("planted", SCENARIOS.values(), ids=SCENARIOS)
def test_groups_have_the_auc_and_true_positive_rate_that_was_planted(planted: dict[str, float]) -> None:
    simulator = ScoreSimulator(students=10_000, **planted)  # type: ignore[arg-type]  # numbers of the class
    scores = simulator.scores(1)
    group = scores.values["group"][scores.student]
    for g in range(4):
        rows = group == g
        is_lower = g == 3
        auc = 0.80 - planted.get("auc_gap", 0.0) * is_lower
        tpr = 0.70 - planted.get("tpr_gap", 0.0) * is_lower
        assert roc_auc_score(scores.right[rows], scores.level[rows]) == pytest.approx(auc, abs=0.006)
        found = recall_score(scores.right[rows], scores.probability[rows] >= 0.5)
        assert found == pytest.approx(tpr, abs=0.01)


def test_answers_of_one_student_hang_together() -> None:
    """Resampling answers, not students, would call the spread of a rate smaller than it is."""
    simulator = ScoreSimulator(students=200)
    rates = []
    for seed in range(200):
        scores = simulator.scores(seed)
        rows = scores.values["group"][scores.student] == 0
        rates.append(scores.right[rows].mean())
    independent = np.sqrt(0.6 * 0.4 / 2_000)
    assert np.std(rates) > 1.2 * independent


def test_the_matrix_product_finds_what_the_comparison_of_groups_finds() -> None:
    simulator = ScoreSimulator(students=60, resamples=30, auc_gap=0.1)
    scores = simulator.scores(3)
    rows = ScoredRows(
        student=scores.student,
        label=scores.right.astype(np.float32),
        probability=scores.probability.astype(np.float32),
    )
    found = simulator.comparisons(scores)
    for attribute, values in scores.values.items():
        theirs = compare_groups(rows, [f"g{v}" for v in values], limits(resamples=30))
        for measure in (AUC, TPR):
            ours, sample = found[attribute].samples[measure], theirs.samples[measure]
            np.testing.assert_allclose(ours.values, sample.values, rtol=0, atol=1e-12)
            np.testing.assert_allclose(ours.drawn, sample.drawn, rtol=0, atol=1e-12)
            np.testing.assert_array_equal(ours.students, sample.students)


def test_the_gate_stops_a_planted_gap_and_not_its_absence() -> None:
    """100 seeds: at least 95 with a gap; without, what a rate of 5 % allows (one in a thousand has more)."""
    seeds, config = range(100), limits()
    stopped = {
        name: sum(ScoreSimulator(**planted).outcomes(seeds, config))  # type: ignore[arg-type]  # as above
        for name, planted in SCENARIOS.items()
    }
    assert stopped["AUC lower by .05"] >= 95
    assert stopped["TPR lower by .10"] >= 95
    assert stopped["none"] <= binom.ppf(0.999, 100, 0.05)


def test_what_stops_is_the_planted_measure_of_the_planted_group() -> None:
    for planted, measure in (({"auc_gap": 0.05}, AUC), ({"tpr_gap": 0.10}, TPR)):
        for seed in range(5):
            findings = ScoreSimulator(**planted).findings(seed, limits())  # type: ignore[arg-type]  # as above
            stops = [f for f in findings if f.outcome == "stop"]
            assert stops
            assert {f.measure for f in stops} == {measure}
            assert all(f.subject.startswith("group: ") and "g3" in f.subject for f in stops)


@pytest.mark.soak
def test_a_thousand_seeds() -> None:
    seeds, config = range(1_000), limits()
    for name, planted in SCENARIOS.items():
        stopped = sum(ScoreSimulator(**planted).outcomes(seeds, config))  # type: ignore[arg-type]  # as above
        print(f"{name}: the gate stops {stopped} of 1,000")
        assert stopped <= 50 if name == "none" else stopped >= 950
