"""Groups that are compared, groups too small to show, and measures that cannot be estimated."""

from collections.abc import Callable

import numpy as np
import pytest

from components.fairness.config import FairnessConfig
from components.fairness.groups import MAX_GROUPS, ScoredRows, compare_groups

Simulate = Callable[..., ScoredRows]
QUICK = FairnessConfig(resamples=100)


def test_students_without_a_value_are_the_group_unknown_at_the_end(simulate: Simulate) -> None:
    found = compare_groups(simulate(90, 20, 0), ["z", None, "a"] * 30, QUICK)
    assert [(g.name, g.students) for g in found.groups] == [("a", 30), ("z", 30), ("unknown", 30)]


def test_a_group_of_nine_students_shows_no_number_and_is_in_no_difference(simulate: Simulate) -> None:
    values = ["few"] * 9 + ["b"] * 60 + ["c"] * 60
    found = compare_groups(simulate(129, 20, 1), values, QUICK)
    few = next(g for g in found.groups if g.name == "few")
    assert (few.status, few.students, few.scored, dict(few.estimates)) == ("too_few", None, None, {})
    for differences in found.differences.values():
        assert [{found.groups[d.higher].name, found.groups[d.lower].name} for d in differences] == [{"b", "c"}]
    ten = compare_groups(simulate(129, 20, 1), ["few"] * 10 + values[10:], QUICK)
    assert next(g for g in ten.groups if g.name == "few").students == 10


def test_a_group_with_enough_students_but_few_answers_shows_no_number(simulate: Simulate) -> None:
    rows = simulate(60, 20, 2)
    keep = (rows.student >= 20) | (np.arange(len(rows.student)) % 20 < 4)  # 80 answers of 20 students
    rows = ScoredRows(student=rows.student[keep], label=rows.label[keep], probability=rows.probability[keep])
    found = compare_groups(rows, ["few answers"] * 20 + ["b"] * 40, QUICK)
    assert [(g.name, g.status) for g in found.groups] == [("b", "ok"), ("few answers", "too_few")]
    assert found.differences["accuracy"] == ()


def test_a_group_that_is_always_right_has_no_auc_but_an_accuracy(simulate: Simulate) -> None:
    rows = simulate(60, 20, 3)
    label = np.where(rows.student < 30, 1.0, rows.label).astype(np.float32)
    found = compare_groups(
        ScoredRows(student=rows.student, label=label, probability=rows.probability), ["right"] * 30 + ["b"] * 30, QUICK
    )
    right = next(g for g in found.groups if g.name == "right")
    assert right.estimates["auc"].status == "not_estimable"
    assert right.estimates["auc"].value is None
    assert right.estimates["false_positive_rate"].status == "not_estimable"
    assert right.estimates["true_positive_rate"].status == "ok"
    assert right.estimates["accuracy"].status == "ok"
    assert found.estimable("auc") == 1
    assert found.differences["auc"] == ()
    assert len(found.differences["accuracy"]) == 1


def test_many_rows_with_few_wrong_answers_are_too_few_for_an_auc(simulate: Simulate) -> None:
    rows = simulate(200, 50, 4)
    label = rows.label.copy()
    in_group = rows.student < 100
    label[in_group] = 1.0
    label[np.flatnonzero(in_group)[:: 5_000 // 19 + 1][:19]] = 0.0  # 19 wrong of 5,000, of as many students
    found = compare_groups(
        ScoredRows(student=rows.student, label=label, probability=rows.probability), ["a"] * 100 + ["b"] * 100, QUICK
    )
    assert found.groups[0].scored == 5_000
    assert found.groups[0].estimates["auc"].status == "too_few"
    assert found.groups[0].estimates["false_positive_rate"].status == "too_few"
    assert found.groups[0].estimates["true_positive_rate"].status == "ok"


def test_a_class_that_one_student_alone_has_is_not_estimable_however_many_rows(simulate: Simulate) -> None:
    rows = simulate(60, 40, 5)
    label = np.where((rows.student > 0) & (rows.student < 30), 1.0, rows.label)
    label[rows.student == 0] = 0.0
    found = compare_groups(
        ScoredRows(student=rows.student, label=label.astype(np.float32), probability=rows.probability),
        ["a"] * 30 + ["b"] * 30,
        QUICK,
    )
    assert found.groups[0].estimates["auc"].status == "not_estimable"


def test_a_constant_model_has_an_auc_of_one_half_everywhere(simulate: Simulate) -> None:
    rows = simulate(80, 20, 6)
    rows = ScoredRows(student=rows.student, label=rows.label, probability=np.full(1_600, 0.6, np.float32))
    found = compare_groups(rows, ["a", "b"] * 40, QUICK)
    assert [g.estimates["auc"].value for g in found.groups] == [0.5, 0.5]
    assert found.differences["auc"][0].value == 0.0
    assert not found.differences["auc"][0].is_told_apart


def test_a_planted_difference_of_calibration_is_recovered_with_its_size(simulate: Simulate) -> None:
    shift = np.where(np.arange(400) < 200, -0.15, 0.0)
    found = compare_groups(simulate(400, 50, 7, shift=shift), ["held back"] * 200 + ["other"] * 200, QUICK)
    widest = found.differences["calibration"][0]
    assert found.groups[widest.higher].name == "held back"
    assert widest.low < 0.15 < widest.high
    assert widest.is_told_apart


def test_intervals_hold_the_value_and_equal_seeds_give_equal_results(simulate: Simulate) -> None:
    rows, values = simulate(100, 20, 8), ["a", "b"] * 50
    found = compare_groups(rows, values, QUICK)
    for group in found.groups:
        for estimate in group.estimates.values():
            assert estimate.value is not None
            assert estimate.low is not None
            assert estimate.high is not None
            assert estimate.low < estimate.value < estimate.high
    assert compare_groups(rows, values, QUICK) == found
    assert compare_groups(rows, values, FairnessConfig(resamples=100, seed=1)) != found


def test_more_groups_than_can_be_compared_are_listed_without_differences(simulate: Simulate) -> None:
    groups = MAX_GROUPS + 1
    config = FairnessConfig(resamples=20)
    found = compare_groups(simulate(10 * groups, 20, 9), [f"g{i % groups}" for i in range(10 * groups)], config)
    assert found.estimable("accuracy") == groups
    assert found.differences["accuracy"] == ()


@pytest.mark.parametrize("rows_per_student", [1, 30])
def test_the_interval_of_a_groups_accuracy_is_that_of_its_students_not_its_rows(rows_per_student: int) -> None:
    source = np.random.default_rng(10)
    right = source.random(300) < 0.7  # a student is right always or never, and so is the model's guess of one half
    student = np.repeat(np.arange(300), rows_per_student)
    rows = ScoredRows(
        student=student, label=right[student].astype(np.float32), probability=np.full(len(student), 0.5, np.float32)
    )
    found = compare_groups(rows, ["a"] * 300, FairnessConfig(resamples=2_000))
    accuracy = found.groups[0].estimates["accuracy"]
    assert accuracy.low is not None
    assert accuracy.high is not None
    share = right.mean()
    assert accuracy.high - accuracy.low == pytest.approx(2 * 1.96 * np.sqrt(share * (1 - share) / 300), rel=0.1)


def test_among_many_small_groups_that_differ_in_nothing_hardly_any_two_are_told_apart(simulate: Simulate) -> None:
    alarms = {"auc": 0, "calibration": 0}
    for seed in range(30):
        # students differ in what the model does not know, so that their answers are not independent
        shift = np.random.default_rng(seed).normal(0, 0.08, 200)
        rows = simulate(200, 20, seed, shift=shift)
        found = compare_groups(rows, [f"g{i % 20:02}" for i in range(200)], QUICK)
        for measure in alarms:
            alarms[measure] += any(d.is_told_apart for d in found.differences[measure])
    # expected at 95 %: 1.5 of 30 each
    assert all(count <= 4 for count in alarms.values()), alarms
