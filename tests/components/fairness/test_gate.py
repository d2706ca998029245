"""The four verdicts, and that each says why."""

from collections.abc import Callable

import numpy as np

from components.fairness.config import FairnessConfig
from components.fairness.gate import judge
from components.fairness.groups import MAX_GROUPS, ScoredRows, compare_groups

Simulate = Callable[..., ScoredRows]


def test_planted_blindness_for_one_group_fails_on_auc_with_names_and_numbers(simulate: Simulate) -> None:
    blind = np.arange(300) < 100
    config = FairnessConfig(resamples=100)
    found = judge(
        {"language": compare_groups(simulate(300, 40, 0, blind=blind), ["x"] * 100 + ["y"] * 200, config)}, config
    )
    assert found.verdict == "fail"
    assert any(
        r.startswith("language: auc is 0.") and "higher for 'y' than for 'x' (95% interval" in r for r in found.reasons
    )


def test_planted_underestimation_fails_on_calibration_though_auc_and_accuracy_hardly_move(simulate: Simulate) -> None:
    shift = np.where(np.arange(400) < 200, 0.15, 0.0)
    config = FairnessConfig(resamples=100)
    comparison = compare_groups(simulate(400, 60, 1, shift=shift), ["x"] * 200 + ["y"] * 200, config)
    found = judge({"school": comparison}, config)
    assert found.verdict == "fail"
    assert [r.split(" is ")[0] for r in found.reasons] == ["school: calibration"]


def test_opposite_errors_of_calibration_do_not_cancel(simulate: Simulate) -> None:
    shift = np.where(np.arange(400) < 200, 0.1, -0.1)
    config = FairnessConfig(resamples=100)
    comparison = compare_groups(simulate(400, 60, 2, shift=shift), ["x"] * 200 + ["y"] * 200, config)
    assert judge({"school": comparison}, config).verdict == "fail"


def test_groups_that_differ_in_nothing_pass(simulate: Simulate) -> None:
    config = FairnessConfig(resamples=100, max_accuracy_gap=0.05)
    for seed in range(5):
        values = np.random.default_rng(seed).choice(["x", "y", "z"], size=900).tolist()
        found = judge({"region": compare_groups(simulate(900, 40, seed), values, config)}, config)
        assert (found.verdict, found.reasons) == ("pass", ())


def test_a_wide_gap_that_chance_may_have_made_is_neither_pass_nor_fail(simulate: Simulate) -> None:
    config = FairnessConfig(resamples=100, max_calibration_gap=0.0, max_auc_gap=0.001)
    # 12 students of 10 answers in each group: the standard error of a difference of AUC is about 0.06
    verdicts = []
    for seed in range(20):
        comparison = compare_groups(simulate(24, 10, seed), ["x", "y"] * 12, config)
        found = judge({"region": comparison}, config)
        verdicts.append(found.verdict)
        if found.verdict == "not_estimable":
            assert "chance may have made the gap" in found.reasons[0]
    # a difference with that error is nearly always wider than 0.001, and told apart one time in twenty
    assert verdicts.count("not_estimable") >= 16
    assert verdicts.count("fail") <= 3


def test_one_group_of_enough_size_is_not_estimable_and_never_a_pass(simulate: Simulate) -> None:
    config = FairnessConfig(resamples=50)
    comparison = compare_groups(simulate(105, 20, 3), ["x"] * 100 + ["y"] * 5, config)
    found = judge({"gender": comparison}, config)
    assert found.verdict == "not_estimable"
    assert "gender: auc can be estimated in 1 of 2 groups; a gap needs two" in found.reasons
    assert any("1 of 2 groups have fewer than 10 students" in r for r in found.reasons)
    assert not any("'y'" in r for r in found.reasons)


def test_a_failing_attribute_outweighs_one_that_cannot_be_judged(simulate: Simulate) -> None:
    config = FairnessConfig(resamples=50)
    rows = simulate(300, 40, 4, blind=np.arange(300) < 100)
    bad = compare_groups(rows, ["x"] * 100 + ["y"] * 200, config)
    unclear = compare_groups(rows, ["x"] * 300, config)
    found = judge({"one": unclear, "two": bad}, config)
    assert found.verdict == "fail"
    assert found.reasons[0].startswith("two: ")
    assert any(r.startswith("one: ") for r in found.reasons)


def test_a_limit_that_is_off_is_not_judged_and_that_nothing_was_judged_is_said(simulate: Simulate) -> None:
    config = FairnessConfig(resamples=50, max_auc_gap=0.0, max_calibration_gap=0.0)
    comparison = compare_groups(simulate(300, 40, 5, blind=np.arange(300) < 100), ["x"] * 100 + ["y"] * 200, config)
    found = judge({"language": comparison}, config)
    assert (found.verdict, found.reasons) == ("pass", ("no limit is set, so nothing was judged",))


def test_no_attribute_is_a_verdict_of_its_own() -> None:
    assert judge({}, FairnessConfig()).verdict == "no_groups"


def test_too_many_groups_ask_for_a_coarser_attribute(simulate: Simulate) -> None:
    groups = MAX_GROUPS + 1
    config = FairnessConfig(resamples=20, max_auc_gap=0.0)
    comparison = compare_groups(simulate(10 * groups, 20, 6), [f"g{i % groups}" for i in range(10 * groups)], config)
    found = judge({"school": comparison}, config)
    assert found.verdict == "not_estimable"
    assert f"school: calibration has {groups} groups, at most {MAX_GROUPS} are compared" in found.reasons[0]
