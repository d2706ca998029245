"""Tables by group of scored writing: intersections, distributions, PRMSE by group, useless graders."""

import dataclasses
import json
from collections.abc import Callable

import numpy as np
import pytest

from components.errors import ConfigError
from components.writing.fairness.config import WritingFairnessConfig
from components.writing.fairness.groups import compare_groups
from components.writing.fairness.measures import WritingRows
from components.writing.fairness.table import tables_of

Grade = Callable[..., WritingRows]
QUICK = WritingFairnessConfig(resamples=40)


def test_an_intersection_is_an_attribute_of_its_own(grade: Grade) -> None:
    rows = grade(400, 0)
    gender, band = ["f", "m"] * 200, ["x"] * 200 + ["y"] * 200
    found = tables_of(rows, {"gender": gender, "band": band}, ["gender", "gender & band"], QUICK)
    assert found.useless is None
    both = found.attributes["gender & band"]
    joined = [f"{g} & {b}" for g, b in zip(gender, band, strict=True)]
    assert both == compare_groups(rows, joined, QUICK)
    assert [g.name for g in both.groups.groups] == ["f & x", "f & y", "m & x", "m & y"]
    with pytest.raises(ConfigError, match="'gender & age'"):
        tables_of(rows, {"gender": gender, "band": band}, ["gender & age"], QUICK)


def test_a_small_group_is_in_no_other_attributes_table(grade: Grade) -> None:
    rows = grade(205, 1)
    values = {"gender": ["f", "m"] * 100 + ["x"] * 5, "band": ["p", "q"] * 102 + ["p"]}
    found = tables_of(rows, values, ["gender", "band"], QUICK).attributes
    students = [sum(g.students or 0 for g in one.groups.groups) for one in found.values()]
    assert students[0] == students[1] <= 195  # five more at random: the total less these is of no small group
    told = [sum(g.status == "too_few" for g in one.groups.groups) for one in found.values()]
    assert told == [1, 0]


def test_a_group_that_is_small_by_scored_students_alone_is_in_no_table_either(grade: Grade) -> None:
    """Of 14 students of group x 6 or more have no score: what totals leave over would be the figures of 8."""
    rows = grade(214, 1)
    graded = rows.is_graded.copy()
    graded[np.isin(rows.student, np.arange(208, 214))] = False
    rows = dataclasses.replace(rows, is_graded=graded)
    values = {"gender": ["f", "m"] * 100 + ["x"] * 14, "band": ["p", "q"] * 107}
    found = tables_of(rows, values, ["gender", "band"], QUICK).attributes
    students = [sum(g.students or 0 for g in one.groups.groups) for one in found.values()]
    assert students[0] == students[1] == graded.sum() - QUICK.min_scored  # of a response each: enough
    assert [sum(g.status == "too_few" for g in one.groups.groups) for one in found.values()] == [1, 0]


def test_distributions_are_shares_by_tenth_and_hide_few_students(grade: Grade) -> None:
    rows = grade(400, 2, prompts=1)
    config = dataclasses.replace(QUICK, min_scored=10)
    curves = compare_groups(rows, ["a"] * 400, config).curves["a"]
    share = np.minimum((rows.score / 6 * 10).astype(int), 9)
    human = curves["human_distribution"]
    assert isinstance(human, list)
    shown = [b for b in range(10) if human[b] is not None]
    assert len(shown) >= 3
    for b in shown:
        assert human[b] == round(float((share == b).mean()), 3)
        assert (share == b).sum() >= 10
    hidden = [int((share == b).sum()) for b in range(10) if human[b] is None and (share == b).any()]
    assert len(hidden) != 1
    json.dumps(curves)


def test_prmse_by_group_needs_double_scored_responses(grade: Grade) -> None:
    rows = grade(400, 3, prompts=1)
    first = np.arange(400) < 200
    ratings = rows.ratings.copy()
    ratings[first, 1] = np.nan
    found = compare_groups(dataclasses.replace(rows, ratings=ratings), ["a"] * 200 + ["b"] * 200, QUICK).groups
    a, b = found.groups
    assert a.estimates["prmse"].status in {"not_estimable", "too_few"}
    assert a.estimates["prmse"].value is None
    assert b.estimates["prmse"].status == "ok"
    assert found.summary["worst_group_prmse"].status in {"not_estimable", "too_few"}
    none = compare_groups(dataclasses.replace(rows, ratings=np.zeros((400, 0))), ["a", "b"] * 200, QUICK).groups
    assert {g.estimates["prmse"].status for g in none.groups} == {"not_estimable"}


def test_noise_of_raters_is_taken_out_of_prmse_in_every_group(grade: Grade) -> None:
    """The same model, in one group with raters that disagree much more: kappa falls, PRMSE hardly."""
    source = np.random.default_rng(4)
    n = 6_000
    truth = source.normal(3, 1, n)
    loud = np.arange(n) % 2 == 1
    noise = np.where(loud, 1.0, 0.2)
    raw = truth + source.normal(0, 0.4, n)
    rows = dataclasses.replace(
        grade(n, 4, prompts=1),
        score=truth + source.normal(0, 1, n) * noise,
        raw=raw,
        rounded=np.rint(raw),
        ratings=np.zeros((n, 2)),
    )
    rows = dataclasses.replace(rows, ratings=np.stack([rows.score, truth + source.normal(0, 1, n) * noise], axis=1))
    quiet, noisy = compare_groups(rows, ["quiet", "very noisy"] * (n // 2), QUICK).groups.groups
    assert (quiet.name, noisy.name) == ("quiet", "very noisy")
    expected = 1 - 0.4**2 / 1.0
    assert quiet.estimates["prmse"].value == pytest.approx(expected, abs=0.03)
    assert noisy.estimates["prmse"].value == pytest.approx(expected, abs=0.06)
    assert (noisy.estimates["pearson"].value or 1.0) < (quiet.estimates["pearson"].value or 0.0) - 0.2


def test_constant_and_random_graders_are_called_useless_and_not_fair(grade: Grade) -> None:
    rows = grade(300, 5)
    flat = dataclasses.replace(rows, raw=np.zeros(len(rows.raw)) + 2.0, rounded=np.zeros(len(rows.raw)) + 2.0)
    said = tables_of(flat, {"g": ["a", "b"] * 150}, ["g"], QUICK).useless
    assert said is not None
    assert "gives every response to a prompt the same score" in said
    shuffled = np.random.default_rng(6).permutation(rows.raw[rows.prompt == 0])
    raw = rows.raw.copy()
    raw[rows.prompt == 0] = shuffled
    keep = rows.prompt == 0
    _, student = np.unique(rows.student[keep], return_inverse=True)
    random = WritingRows(
        student=student,
        prompt=rows.prompt[keep],
        score=rows.score[keep],
        raw=raw[keep],
        rounded=np.rint(raw[keep]),
        ratings=rows.ratings[keep],
        is_graded=rows.is_graded[keep],
        scales=rows.scales,
    )
    said = tables_of(random, {}, [], QUICK).useless
    assert said is not None
    assert "its scores do not follow the human ones (correlation " in said


def test_a_group_whose_scores_are_all_of_one_student_is_too_small_however_many_were_given_none(grade: Grade) -> None:
    rows = grade(60, 4, each=40)
    others = (rows.student > 0) & (rows.student < 20)
    alone = dataclasses.replace(rows, is_graded=rows.is_graded & ~others)
    groups = compare_groups(alone, ["a"] * 20 + ["b"] * 40, QUICK).groups.groups
    assert [(g.name, g.status) for g in groups] == [("a", "too_few"), ("b", "ok")]
