"""Paired comparison of two releases: shown to be no worse, worse, or neither; and how often it errs."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from components.evaluate.bootstrap import GroupedAuc
from components.gate.paired import Paired, PairedSettings, Scored, compare, judge_difference

SETTINGS = PairedSettings(margin=0.005, worst_group_margin=0.02, resamples=400)


def judged(new: float, old: float, spread: float, **more: Any) -> tuple[str, str]:
    source = np.random.default_rng(0)
    found = Paired(new=new, old=old, drawn=new - old + source.normal(0, spread, 20_000))
    settings = PairedSettings(**{"margin": 0.005, "worst_group_margin": 0.0, **more})
    finding = judge_difference(found, settings, measure="auc", subject="all", margin=settings.margin, students=300)
    if finding.low is not None and finding.high is not None:
        # one-sided 95% ends of a normal difference
        assert finding.low == pytest.approx(new - old - 1.645 * spread, abs=0.05 * spread)
        assert finding.high == pytest.approx(new - old + 1.645 * spread, abs=0.05 * spread)
    return finding.outcome, finding.reason


def test_a_release_is_no_worse_where_the_lower_end_is_above_minus_the_margin() -> None:
    assert judged(0.751, 0.750, 0.001)[0] == "pass"
    _, reason = judged(0.751, 0.750, 0.001)
    assert reason.startswith("not worse: auc 0.7510 against the champion's 0.7500, tolerance 0.005 (difference +0.0010")


def test_a_release_is_worse_where_the_upper_end_is_below_minus_the_margin() -> None:
    for undecided in ("point", "warn", "stop"):
        assert judged(0.740, 0.750, 0.001, undecided=undecided)[0] == "stop"


@pytest.mark.parametrize(
    ("undecided", "new", "outcome"),
    [
        ("point", 0.747, "warn"),
        ("point", 0.744, "stop"),
        ("warn", 0.744, "warn"),
        ("stop", 0.747, "stop"),
        ("stop", 0.760, "stop"),
    ],
)
def test_in_between_the_configuration_says_what_follows(undecided: str, new: float, outcome: str) -> None:
    assert judged(new, 0.750, 0.02, undecided=undecided)[0] == outcome


def test_without_a_number_nothing_is_shown_and_it_stops() -> None:
    assert judged(float("nan"), 0.75, 0.01) == ("stop", "the candidate has no auc, so that nothing can be compared")
    assert judged(0.75, float("nan"), 0.01) == ("stop", "the champion has no auc, so that nothing can be compared")


def test_one_student_gives_no_interval_and_the_figure_decides_with_a_warning() -> None:
    found = Paired(new=0.75, old=0.74, drawn=np.full(400, 0.01))
    finding = judge_difference(found, SETTINGS, measure="auc", subject="all", margin=0.005, students=1)
    assert (finding.outcome, finding.low) == ("warn", None)
    assert "too few students for an interval" in finding.reason


def make(seed: int, students: int, lift: float) -> tuple[Any, Any, Any, Any]:
    """Return rows of two releases that share most of their errors; `lift` is added to the new one's signal."""
    source = np.random.default_rng(seed)
    student = np.repeat(np.arange(students), 10)
    right = source.random(len(student)) < 0.6
    shared = source.normal(0, 1, len(student)) + source.normal(0, 0.5, students)[student]
    old = right * 1.0 + shared + source.normal(0, 0.2, len(student))
    new = right * (1.0 + lift) + shared + source.normal(0, 0.2, len(student))
    return student, right, new, old


def test_values_are_scikit_learns_and_pairing_makes_the_difference_far_better_known() -> None:
    student, right, new, old = make(1, 200, 0.1)
    group = student % 3

    def scored(values: Any) -> Scored:
        return Scored(overall=GroupedAuc(right, values, student), by_group=GroupedAuc(right, values, student, group, 3))

    overall, worst = compare(scored(new), scored(old), 200, SETTINGS)
    assert overall.new == pytest.approx(roc_auc_score(right, new), abs=1e-12)
    assert overall.old == pytest.approx(roc_auc_score(right, old), abs=1e-12)
    assert worst is not None
    by_group = [[roc_auc_score(right[group == g], v[group == g]) for g in range(3)] for v in (new, old)]
    assert (worst.new, worst.old) == pytest.approx([min(by_group[0]), min(by_group[1])], abs=1e-12)
    alone = GroupedAuc(right, new, student)
    counts = np.random.default_rng(2).integers(200, size=(400, 200))
    unpaired = np.std([alone(np.bincount(c, minlength=200))[0] for c in counts])
    assert overall.drawn.std() < 0.4 * unpaired


def test_two_equal_releases_are_rarely_called_worse_and_a_much_worse_one_nearly_always_is() -> None:
    """At a true difference of exactly -margin, at most about one in twenty passes as no worse."""
    settings = PairedSettings(margin=0.02, worst_group_margin=0.0, resamples=100, undecided="stop")
    # AUC is Phi(d / sd) of a signal d between the classes; sd of a difference of two answers
    sd = np.sqrt(2 * (1 + 0.25 + 0.04))
    at_margin = float(norm.ppf(norm.cdf(1 / sd) - 0.02) * sd - 1)
    outcomes: dict[float, list[str]] = {0.0: [], at_margin: [], -0.3: []}
    for lift, found in outcomes.items():
        for seed in range(60):
            student, right, new, old = make(seed, 100, lift)
            ours, theirs = (Scored(overall=GroupedAuc(right, values, student)) for values in (new, old))
            overall, _ = compare(ours, theirs, 100, settings)
            finding = judge_difference(overall, settings, measure="auc", subject="all", margin=0.02, students=100)
            found.append(finding.outcome)
    assert outcomes[0.0].count("pass") >= 54
    assert outcomes[at_margin].count("pass") <= 8
    assert outcomes[-0.3].count("pass") == 0
