"""The four verdicts, and that each says why."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from components.fairness.config import FairnessConfig
from components.fairness.family import jointly
from components.fairness.gate import attributes_to_compare, judge
from components.fairness.groups import MAX_GROUPS, ScoredRows, compare_groups
from components.fairness.table import tables_of

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


@pytest.mark.parametrize("how", [{"required": ("gender",)}, {"required_groups": {"gender": ("f", "m")}}])
def test_a_required_attribute_of_which_nothing_was_compared_stops(how: dict[str, Any]) -> None:
    found = judge({}, FairnessConfig(**how))
    assert found.verdict == "fail"
    assert [f.reason for f in found.findings if f.outcome == "stop"] == [
        "gender is required, and no group of it was compared"
    ]


def test_a_useless_model_passes_nothing_though_its_gaps_are_small(simulate: Simulate) -> None:
    config = FairnessConfig(resamples=50)
    rows = simulate(200, 20, 1)
    flat = ScoredRows(student=rows.student, label=rows.label, probability=np.full(len(rows.label), 0.7))
    found = tables_of(flat, {"gender": ["f", "m"] * 100}, ["gender"], config)
    assert found.useless is not None
    told = judge(jointly(found.comparisons, config), config, useless=found.useless)
    assert told.verdict == "warn"
    assert told.reasons[0] == found.useless


def test_too_many_groups_ask_for_a_coarser_attribute(simulate: Simulate) -> None:
    groups = MAX_GROUPS + 1
    config = FairnessConfig(resamples=20, max_auc_gap=0.0)
    comparison = compare_groups(simulate(10 * groups, 20, 6), [f"g{i % groups}" for i in range(10 * groups)], config)
    found = judge({"school": comparison}, config)
    assert found.verdict == "not_estimable"
    assert f"school: calibration has {groups} groups, at most {MAX_GROUPS} are compared" in found.reasons[0]


def test_what_a_pass_does_not_rule_out_is_said(simulate: Simulate) -> None:
    config = FairnessConfig(resamples=100, max_calibration_gap=0.0, max_auc_gap=0.2)
    few = judge({"region": compare_groups(simulate(24, 10, 0), ["x", "y"] * 12, config)}, config)
    many = judge({"region": compare_groups(simulate(600, 40, 0), ["x", "y"] * 300, config)}, config)
    assert (few.verdict, many.verdict) == ("pass", "pass")
    assert few.findings[0].reason.endswith("the intervals do not rule out more than the limit")
    assert few.findings[0].high > 0.2 > many.findings[0].high  # type: ignore[operator]  # both have one
    assert "rule out" not in many.findings[0].reason


def test_exceeding_asks_for_more_than_differing(simulate: Simulate) -> None:
    blind = np.arange(400) < 200  # AUC .5 instead of about .69
    config = FairnessConfig(resamples=100, max_calibration_gap=0.0, max_auc_gap=0.2)
    comparison = {"language": compare_groups(simulate(400, 20, 0, blind=blind), ["x"] * 200 + ["y"] * 200, config)}
    (found,) = judge(comparison, config).findings
    assert found.outcome == "stop"
    assert found.value is not None
    assert found.low is not None
    assert found.value > 0.2 > found.low > 0
    unclear = judge(comparison, FairnessConfig(**{**vars(config), "gap_test": "exceeds"}))
    assert (unclear.verdict, unclear.findings[0].outcome) == ("not_estimable", "warn")
    assert "the interval reaches the limit" in unclear.reasons[0]
    strict = judge(comparison, FairnessConfig(**{**vars(config), "gap_test": "exceeds", "uncertain": "stop"}))
    assert (strict.verdict, strict.findings[0].outcome) == ("fail", "stop")
    sure = judge(comparison, FairnessConfig(**{**vars(config), "gap_test": "exceeds", "max_auc_gap": 0.1}))
    assert sure.verdict == "fail"


def test_the_severity_of_a_limit_decides_what_crossing_it_leads_to(simulate: Simulate) -> None:
    blind = np.arange(400) < 200
    config = FairnessConfig(resamples=50, severity={"max_auc_gap": "warn"})
    comparison = {"language": compare_groups(simulate(400, 40, 1, blind=blind), ["x"] * 200 + ["y"] * 200, config)}
    found = judge(comparison, config)
    assert found.verdict == "warn"
    assert next((f.measure, f.outcome) for f in found.findings if f.check == "gap") == ("auc", "warn")
    assert judge(comparison, FairnessConfig(resamples=50)).verdict == "fail"


def test_the_level_of_the_worst_group_stops_when_all_of_its_interval_is_below_the_limit(simulate: Simulate) -> None:
    blind = np.arange(400) < 200
    config = FairnessConfig(resamples=100, max_auc_gap=0.0, max_calibration_gap=0.0, min_group_auc=0.6)
    rows = simulate(400, 30, 2, blind=blind)
    comparison = jointly({"language": compare_groups(rows, ["x"] * 200 + ["y"] * 200, config)}, config)
    (found,) = judge(comparison, config).findings
    assert (found.check, found.subject, found.outcome, found.n) == ("worst_group", "language: x", "stop", 200)
    assert found.high is not None
    assert found.high < 0.6
    lower = FairnessConfig(**{**vars(config), "min_group_auc": 0.495})
    kept = judge(jointly(comparison, lower), lower)
    assert kept.findings[0].outcome in {"pass", "warn"}  # .5 is the truth: half of all samples are below .495
    assert kept.verdict != "fail"


@pytest.mark.parametrize("lacking", ["too few", "missing"])
def test_a_required_group_that_cannot_be_judged_stops_and_is_not_named(simulate: Simulate, lacking: str) -> None:
    values = ["x"] * 95 + ["y"] * 100 + (["tiny"] * 5 if lacking == "too few" else ["x"] * 5)
    comparison = {"region": compare_groups(simulate(200, 20, 3), values, FairnessConfig(resamples=50))}
    config = FairnessConfig(resamples=50, required_groups={"region": ("x", "y", "tiny")})
    found = judge(comparison, config)
    assert found.verdict == "fail"
    assert found.reasons[0] == "region: 1 of 3 required groups are missing or too small to be judged"
    assert not any("tiny" in f.reason + f.subject for f in found.findings)
    assert judge(comparison, FairnessConfig(resamples=50, required_groups={"region": ("x", "y")})).verdict == "pass"
    small = [f for f in judge(comparison, FairnessConfig(resamples=50)).findings if f.check == "groups"]
    assert [f.outcome for f in small] == (["warn"] if lacking == "too few" else [])


def test_a_required_attribute_with_one_group_of_enough_size_stops(simulate: Simulate) -> None:
    comparison = {"gender": compare_groups(simulate(105, 20, 3), ["x"] * 100 + ["y"] * 5, FairnessConfig(resamples=50))}
    found = judge(comparison, FairnessConfig(resamples=50, required=("gender",)))
    assert found.verdict == "fail"
    assert {f.outcome for f in found.findings if f.measure == "auc"} == {"stop"}
    no_limit = FairnessConfig(resamples=50, required=("gender",), max_auc_gap=0.0, max_calibration_gap=0.0)
    assert judge(comparison, no_limit).verdict == "fail"


def test_a_required_attribute_that_is_known_of_one_group_only_stops_though_unknown_is_a_group(
    simulate: Simulate,
) -> None:
    comparison = {"gender": compare_groups(simulate(200, 20, 3), ["x", None] * 100, FairnessConfig(resamples=50))}
    assert judge(comparison, FairnessConfig(resamples=50)).verdict == "pass"
    for config in (
        FairnessConfig(resamples=50, required=("gender",)),
        FairnessConfig(resamples=50, required_groups={"gender": ("x",)}),
    ):
        found = judge(comparison, config)
        assert found.verdict == "fail"
        assert found.reasons == ("gender: fewer than two known groups can be judged, and it is required",)


def test_a_required_group_without_wrong_answers_has_no_auc_and_stops(simulate: Simulate) -> None:
    rows = simulate(200, 20, 4)
    label = np.where(rows.student < 100, 1.0, rows.label).astype(np.float32)
    rows = ScoredRows(student=rows.student, label=label, probability=rows.probability)
    config = FairnessConfig(resamples=50, required_groups={"region": ("x", "y")})
    assert judge({"region": compare_groups(rows, ["x"] * 100 + ["y"] * 100, config)}, config).findings[0].reason == (
        "region: 1 of 2 required groups are missing or too small to be judged"
    )


def test_nothing_judged_by_group_is_a_warning_and_with_a_required_attribute_a_stop() -> None:
    (found,) = judge({}, FairnessConfig()).findings
    assert (found.check, found.outcome) == ("groups", "warn")
    attributes, missing = attributes_to_compare(FairnessConfig(required=("gender",)), ())
    assert attributes == []
    assert judge({}, FairnessConfig(required=("gender",)), missing).verdict == "fail"


def test_intervals_of_what_has_a_limit_widen_with_every_attribute_that_is_judged_beside_it(simulate: Simulate) -> None:
    config = FairnessConfig(resamples=200)
    rows, source = simulate(600, 20, 5), np.random.default_rng(5)
    values = {f"attribute {k}": source.choice(["x", "y", "z"], size=600).tolist() for k in range(4)}
    comparisons = {name: compare_groups(rows, v, config) for name, v in values.items()}
    joint = jointly(comparisons, config)
    for name, alone in comparisons.items():
        for measure, limited in (("auc", True), ("calibration", True), ("accuracy", False)):
            before, after = alone.differences[measure][0], joint[name].differences[measure][0]
            assert after.value == before.value
            assert (after.high > before.high) is limited
