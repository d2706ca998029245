"""Groups that are compared, groups too small to show, and the verdict on planted differences."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from components.evaluate.bootstrap import resampled_students
from components.fairness.gate import judge
from components.writing.fairness.config import WritingFairnessConfig
from components.writing.fairness.groups import compare_groups
from components.writing.fairness.measures import MEANINGS, WritingRows, measures_of, row_values
from components.writing.sums import whole_sums

Grade = Callable[..., WritingRows]
QUICK = WritingFairnessConfig(resamples=100)


def test_every_group_has_its_size_and_every_measure_with_an_interval(grade: Grade) -> None:
    found = compare_groups(grade(400, 0), ["f", "m"] * 150 + [None] * 100, QUICK).groups
    assert [(g.name, g.students, g.scored) for g in found.groups] == [
        ("f", 150, 150),
        ("m", 150, 150),
        ("unknown", 100, 100),
    ]
    for group in found.groups:
        assert set(group.estimates) == set(MEANINGS)
        for name, estimate in group.estimates.items():
            assert estimate.status == "ok"
            assert estimate.value is not None
            assert estimate.low is not None
            assert estimate.high is not None
            assert estimate.low - 1e-9 <= estimate.value <= estimate.high + 1e-9 or name == "qwk"


def test_intervals_are_of_whole_students_drawn_and_of_all_of_them_for_the_z_scores(grade: Grade) -> None:
    rows = grade(60, 1, each=4)
    values = ["a", "b"] * 30
    group = np.arange(60) % 2
    config = WritingFairnessConfig(resamples=40, confidence=0.8)
    found = compare_groups(rows, values, config).groups
    columns, places = row_values(rows)
    cell = rows.prompt * 2 + group[rows.student]
    used = whole_sums(columns, cell, 6).reshape(3, 2, -1)[..., 0] >= 10
    drawn = []
    for counts in resampled_students(60, 40, 0):
        again = np.repeat(np.arange(240), counts[rows.student])  # literally repeated
        sums = whole_sums(columns[again], cell[again], 6).reshape(3, 2, -1)
        drawn.append([measures_of(sums, places, rows.scales, used)[m][0] for m in ("qwk", "dsm", "smd")])
    low, high = np.quantile(drawn, [0.1, 0.9], axis=0)
    for at, name in enumerate(("qwk", "dsm", "smd")):
        estimate = found.groups[0].estimates[name]
        assert (estimate.low, estimate.high) == pytest.approx((low[at], high[at]), abs=1e-9)


def test_a_group_of_nine_students_shows_no_number_and_is_in_no_difference(grade: Grade) -> None:
    values = ["few"] * 9 + ["b"] * 100 + ["c"] * 100
    found = compare_groups(grade(209, 2, each=5), values, QUICK).groups
    few = next(g for g in found.groups if g.name == "few")
    assert (few.status, few.students, few.scored, dict(few.estimates)) == ("too_few", None, None, {})
    for differences in found.differences.values():
        assert [{found.groups[d.higher].name, found.groups[d.lower].name} for d in differences] == [{"b", "c"}]
    assert {found.groups[d.group].name for d in found.departures["dsm"]} == {"b", "c"}


def test_what_is_shown_says_nothing_of_a_group_that_is_not(grade: Grade) -> None:
    """Standardised differences add up to 0: were the hidden group among all, those shown would give its own away."""
    rows, values = grade(209, 2), ["few"] * 9 + ["b"] * 100 + ["c"] * 100
    found = compare_groups(rows, values, QUICK)
    shown = [g for g in found.groups.groups if g.status == "ok"]
    dsm = [g.estimates["dsm"].value or 0.0 for g in shown]
    assert np.dot(dsm, [g.scored or 0 for g in shown]) == pytest.approx(0.0, abs=1e-9)
    spoilt = dataclasses.replace(rows, raw=np.where(rows.student < 9, rows.raw * 0.1, rows.raw))
    assert compare_groups(spoilt, values, QUICK) == found


def test_a_group_with_enough_students_but_few_graded_responses_shows_no_number(grade: Grade) -> None:
    rows = grade(120, 3)
    graded = ~np.isin(np.arange(120), np.arange(20, 40))  # of 40 students of the group, 20 have a grade
    found = compare_groups(dataclasses.replace(rows, is_graded=graded), ["x"] * 40 + ["y"] * 80, QUICK).groups
    assert [(g.name, g.status) for g in found.groups] == [("x", "too_few"), ("y", "ok")]
    assert found.differences["qwk"] == ()
    assert found.departures["dsm"] == ()


def test_few_double_scored_responses_have_no_kappa_of_humans(grade: Grade) -> None:
    rows = grade(200, 4)
    ratings = rows.ratings.copy()
    ratings[100:, 1] = np.nan
    ratings[100:129, 1] = rows.ratings[100:129, 1]
    found = compare_groups(dataclasses.replace(rows, ratings=ratings), ["x"] * 100 + ["y"] * 100, QUICK).groups
    assert [g.estimates["human_qwk"].status for g in found.groups] == ["ok", "too_few"]
    without = compare_groups(dataclasses.replace(rows, ratings=ratings[:, :1]), ["x", "y"] * 100, QUICK).groups
    assert [g.estimates["human_qwk"].status for g in without.groups] == ["not_estimable"] * 2


def test_a_useless_model_is_not_called_fair(grade: Grade) -> None:
    rows = grade(300, 5, prompts=1)
    flat = dataclasses.replace(rows, raw=np.full(300, 3.2), rounded=np.full(300, 3.0))
    found = compare_groups(flat, ["x", "y"] * 150, QUICK)
    for group in found.groups.groups:
        assert group.estimates["qwk"].status == "not_estimable"
        assert group.estimates["dsm"].status == "not_estimable"
    judgement = judge({"gender": found.groups}, QUICK)
    assert judgement.verdict == "not_estimable"
    assert "gender: qwk can be estimated in 0 of 2 groups; a gap needs two" in judgement.reasons


def test_planted_harshness_to_one_group_fails_on_dsm_with_its_name_and_number(grade: Grade) -> None:
    harsh = np.arange(600) < 150
    found = compare_groups(grade(600, 6, harsh=harsh), ["x"] * 150 + ["y"] * 450, QUICK)
    judgement = judge({"language": found.groups}, QUICK)
    assert judgement.verdict == "fail"
    first = next(r for r in judgement.reasons if "dsm" in r)
    assert first.startswith("language: dsm is -0.")
    assert "for 'x', where all together have 0 (95% interval -0." in first
    assert first.endswith("the limit is 0.1")
    assert found.explained["osd"].p is not None
    assert found.explained["osd"].p < 1e-6
    assert found.explained["csd"].p is not None
    assert found.explained["csd"].p < 1e-6


def test_planted_noise_for_one_group_fails_on_kappa(grade: Grade) -> None:
    noisy = np.arange(600) < 200
    found = compare_groups(grade(600, 7, noisy=noisy), ["x"] * 200 + ["y"] * 400, QUICK)
    judgement = judge({"school": found.groups}, QUICK)
    assert judgement.verdict == "fail"
    assert judgement.reasons[0].startswith("school: qwk is 0.")
    assert "higher for 'y' than for 'x'" in judgement.reasons[0]
    assert found.explained["osa"].p is not None
    assert found.explained["osa"].p < 1e-6


def test_groups_that_differ_in_nothing_pass(grade: Grade) -> None:
    for seed in range(5):
        values = np.random.default_rng(seed).choice(["x", "y", "z"], size=1_500).tolist()
        found = compare_groups(grade(1_500, seed), values, QUICK)
        judgement = judge({"region": found.groups}, QUICK)
        assert (judgement.verdict, judgement.reasons) == ("pass", ())


def test_a_wide_gap_that_chance_may_have_made_is_neither_pass_nor_fail(grade: Grade) -> None:
    config = WritingFairnessConfig(resamples=100, max_dsm=0.001, max_qwk_gap=0.0)
    verdicts = []
    for seed in range(20):
        found = compare_groups(grade(80, seed), ["x", "y"] * 40, config)
        judgement = judge({"region": found.groups}, config)
        verdicts.append(judgement.verdict)
        if judgement.verdict == "not_estimable":
            assert "the interval reaches 0: chance may have made the gap" in judgement.reasons[0]
    assert verdicts.count("not_estimable") >= 16
    assert verdicts.count("fail") <= 3
