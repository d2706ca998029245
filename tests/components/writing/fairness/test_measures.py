"""Measures by group: for one prompt RSMTool's own definitions, for several pooled within prompts."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import cohen_kappa_score

from components.writing.fairness.measures import MEANINGS, WritingRows, measures_of, row_values
from components.writing.prmse import prmse_of, prmse_values
from components.writing.scale import Scale
from components.writing.sums import whole_sums

Grade = Callable[..., WritingRows]


def measured(rows: WritingRows, group: np.ndarray, groups: int, least: int = 3) -> dict[str, np.ndarray]:
    """Return measure -> (G,) over the rows of each group."""
    values, places = row_values(rows)
    prompts = len(rows.scales)
    sums = whole_sums(values, rows.prompt * groups + group, prompts * groups).reshape(prompts, groups, -1)
    return measures_of(sums, places, rows.scales, sums[..., 0] >= least)


def test_with_one_prompt_every_measure_is_rsmtools(grade: Grade) -> None:
    rows = grade(300, 0, prompts=1)
    group = np.arange(300) % 2
    found = measured(rows, group, 2)
    assert set(found) == set(MEANINGS)
    h, m = rows.score, rows.raw
    for g in (0, 1):
        own = group == g
        kappa = cohen_kappa_score(
            h[own].astype(int), rows.rounded[own].astype(int), weights="quadratic", labels=range(7)
        )
        raters = cohen_kappa_score(*rows.ratings[own].astype(int).T, weights="quadratic", labels=range(7))
        z = (m - m.mean()) / m.std(ddof=1) - (h - h.mean()) / h.std(ddof=1)
        expected = {
            "qwk": kappa,
            "human_qwk": raters,
            "qwk_continuous": 2
            * np.cov(h[own], m[own], ddof=0)[0, 1]
            / (h[own].var() + m[own].var() + (h[own].mean() - m[own].mean()) ** 2),
            "human_pearson": pearsonr(*rows.ratings[own].T).statistic,
            "exact": np.mean(h[own] == rows.rounded[own]),
            "human_exact": np.mean(rows.ratings[own, 0] == rows.ratings[own, 1]),
            "rmse": np.sqrt(np.mean((m[own] - h[own]) ** 2)) / 6,
            "prmse": prmse_of(prmse_values(m[own], rows.ratings[own]).sum(axis=0))["prmse"],
            "pearson": pearsonr(h[own], m[own]).statistic,
            "adjacent": np.mean(np.abs(h[own] - rows.rounded[own]) <= 1),
            "mean_error": np.mean(m[own] - h[own]) / 6,
            "smd": (m[own].mean() - h[own].mean()) / h.std(ddof=1),  # "johnson": the sd of all
            "dsm": z[own].mean(),
            "abstained": 0.0,
        }
        assert {name: value[g] for name, value in found.items()} == pytest.approx(expected, abs=1e-9)


def test_dsm_is_by_the_mean_and_sd_of_all_students_and_0_over_all() -> None:
    everybody_h, everybody_m = np.array([8.0, 4, 6, 3, 1, 9, 5, 2]), np.array([9.0, 4, 5, 12, 2, 8, 7, 1])
    group = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    rows = one_prompt(everybody_h, everybody_m)
    found = measured(rows, group, 2)["dsm"]
    z_h = (everybody_h - everybody_h.mean()) / everybody_h.std(ddof=1)
    z_m = (everybody_m - everybody_m.mean()) / everybody_m.std(ddof=1)
    assert found.tolist() == pytest.approx([(z_m - z_h)[:4].mean(), (z_m - z_h)[4:].mean()], abs=1e-12)
    assert measured(rows, np.zeros(8, np.int64), 1)["dsm"] == pytest.approx([0.0], abs=1e-12)


def one_prompt(score: np.ndarray, raw: np.ndarray) -> WritingRows:
    return WritingRows(
        student=np.arange(len(score)),
        prompt=np.zeros(len(score), np.int64),
        score=score,
        raw=raw,
        rounded=np.rint(raw),
        ratings=np.zeros((len(score), 0)),
        is_graded=np.ones(len(score), np.bool_),
        scales=[Scale(low=0, high=12)],
    )


def test_over_prompts_kappa_is_the_sum_of_each_prompts_parts_in_its_own_unit(grade: Grade) -> None:
    rows = grade(600, 1)
    group = (np.arange(600) // 3) % 2
    found = measured(rows, group, 2)
    for g in (0, 1):
        top = bottom = cross = x_part = y_part = 0.0
        for p in range(3):
            own, whole = (group == g) & (rows.prompt == p), rows.prompt == p
            h, m, raw = rows.score[own], rows.rounded[own], rows.raw[own]
            unit = rows.score[whole].var()
            covariance = np.cov(h, m, ddof=0)
            top += len(h) * 2 * covariance[0, 1] / unit
            bottom += len(h) * (covariance[0, 0] + covariance[1, 1] + (h.mean() - m.mean()) ** 2) / unit
            covariance = np.cov(h, raw, ddof=0)
            cross, x_part, y_part = (
                total + len(h) * part / unit
                for total, part in zip(
                    (cross, x_part, y_part), (covariance[0, 1], covariance[0, 0], covariance[1, 1]), strict=True
                )
            )
        assert found["qwk"][g] == pytest.approx(top / bottom, abs=1e-9)
        assert found["pearson"][g] == pytest.approx(cross / np.sqrt(x_part * y_part), abs=1e-9)


def test_easier_prompts_do_not_make_a_group_agreed_on_better() -> None:
    """One group gets a prompt that everybody fails, the other one that everybody passes: pooled, not mixed."""
    source = np.random.default_rng(2)
    prompt = np.repeat([0, 1], 200)
    score = np.where(prompt == 0, source.integers(0, 3, 400), source.integers(9, 12, 400)).astype(np.float64)
    rows = dataclasses.replace(
        one_prompt(score, score + source.normal(0, 2, 400)), prompt=prompt, scales=[Scale(low=0, high=12)] * 2
    )
    everyone = measured(rows, np.zeros(400, np.int64), 1)
    mixed = float(np.corrcoef(rows.score, rows.raw)[0, 1])
    assert mixed > 0.85
    assert everyone["pearson"][0] < 0.6


def test_a_group_whose_humans_or_predictions_are_all_alike_has_no_kappa(grade: Grade) -> None:
    rows = grade(200, 3, prompts=1)
    group = np.arange(200) % 2
    flat = dataclasses.replace(rows, rounded=np.where(group == 0, 3.0, rows.rounded))
    found = measured(flat, group, 2)
    assert np.isnan(found["qwk"][0])
    assert np.isfinite(found["qwk"][1])
    one = dataclasses.replace(rows, score=np.where(group == 0, 3.0, rows.score))
    found = measured(one, group, 2)
    assert np.isnan(found["qwk"][0])
    assert np.isnan(found["pearson"][0])
    assert np.isfinite(found["smd"][0])


def test_predictions_that_are_all_alike_have_no_dsm_and_not_0() -> None:
    source = np.random.default_rng(4)
    rows = one_prompt(source.integers(0, 12, 100).astype(np.float64), np.full(100, 5.3))
    assert np.isnan(measured(rows, np.arange(100) % 2, 2)["dsm"]).all()


def test_what_the_model_abstained_from_is_counted_and_left_out(grade: Grade) -> None:
    rows = grade(300, 5)
    group = np.arange(300) % 2
    graded = ~((np.arange(300) % 10 == 0) & (group == 0))
    spoilt = dataclasses.replace(rows, is_graded=graded, raw=np.where(graded, rows.raw, 1e9))
    found = measured(spoilt, group, 2)
    assert found["abstained"].tolist() == [30 / 150, 0.0]
    kept = dataclasses.replace(
        rows,
        **{
            name: getattr(rows, name)[graded]
            for name in ("student", "prompt", "score", "raw", "rounded", "ratings", "is_graded")
        },
    )
    expected = measured(kept, group[graded], 2)
    for name in MEANINGS:
        if name != "abstained":
            assert found[name] == pytest.approx(expected[name], abs=1e-9)


def test_prompts_with_few_responses_of_a_group_are_left_out_of_its_kappa(grade: Grade) -> None:
    rows = grade(300, 6)
    group = np.zeros(300, np.int64)
    group[np.flatnonzero(rows.prompt == 1)[:4]] = 1
    group[np.flatnonzero(rows.prompt == 0)[:50]] = 1
    found = measured(rows, group, 2, least=10)["qwk"][1]
    own = (group == 1) & (rows.prompt == 0)
    h, m = rows.score[own].astype(int), rows.rounded[own].astype(int)
    assert found == pytest.approx(cohen_kappa_score(h, m, weights="quadratic", labels=range(7)), abs=1e-9)
