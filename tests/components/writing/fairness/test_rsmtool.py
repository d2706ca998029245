"""Every measure by group, and OSA, OSD and CSD, against RSMTool 12.0.0.

It cannot be installed beside torch, so the numbers below were made apart, on the responses of `made_up`, by

- `rsmtool.utils.metrics`: `quadratic_weighted_kappa` of rounded (halves up) and of raw scores,
  `standardized_mean_difference` with `method="johnson"` and the sd of all students, `difference_of_standardized_means`
  with the means and sds of all students, `agreement` with tolerance 0 and 1;
- `rsmtool.utils.prmse`: `prmse_true` with the `variance_of_errors` of the group's own ratings;
- `rsmtool.fairness_utils.get_fairness_analyses(frame, "g", "sys")`: R2 and significance.
"""

import numpy as np
import pytest

from components.writing.fairness.config import WritingFairnessConfig
from components.writing.fairness.groups import compare_groups
from components.writing.fairness.measures import WritingRows
from components.writing.scale import Scale

BY_GROUP = {
    "a": {
        "qwk": 0.8775510204081631,
        "qwk_continuous": 0.9342437066157602,
        "human_qwk": 0.9,
        "pearson": 0.9435428160266408,
        "smd": -0.03270378439217188,
        "dsm": -0.1158049920564791,
        "exact": 0.40,
        "adjacent": 1.00,
        "human_exact": 0.60,
        "prmse": 0.8650172512244019,
    },
    "b": {
        "qwk": 0.9108910891089109,
        "qwk_continuous": 0.92229984111947,
        "human_qwk": 0.8888888888888888,
        "pearson": 0.964248045732599,
        "smd": 0.26356154164325113,
        "dsm": 0.16418298169300677,
        "exact": 0.55,
        "adjacent": 1.00,
        "human_exact": 0.50,
        "prmse": 0.90810515901784,
    },
    "c": {
        "qwk": 0.8484848484848485,
        "qwk_continuous": 0.9036811866049722,
        "human_qwk": 0.8,
        "pearson": 0.9416035363885399,
        "smd": 0.038643147363587996,
        "dsm": -0.0483779896365278,
        "exact": 0.50,
        "adjacent": 1.00,
        "human_exact": 0.10,
        "prmse": 0.8656907315053186,
    },
}
ALL_PRMSE = 0.878135706514959
EXPLAINED = {
    "osa": (-0.018452643510947997, 0.630180540718393),
    "osd": (0.07135547038576973, 0.045379733466326524),
    "csd": (0.07444994185519371, 0.054470191970632464),
}
SMALL = WritingFairnessConfig(resamples=20, min_scored=10)


def made_up() -> WritingRows:
    """Sixty responses to one prompt by a formula, so that any program can make them again."""
    i = np.arange(60)
    first = (1 + (i * 7) % 5).astype(np.float64)
    second = np.clip(first + (i * 5 // 2) % 3 - 1, 1, 6)
    raw = np.clip(first + 0.8 * np.sin(1.7 * i) + 0.3 * (i % 3 == 1), 1, 6)
    return WritingRows(
        student=i,
        prompt=np.zeros(60, np.int64),
        score=first,
        raw=raw,
        rounded=np.floor(raw + 0.5),
        ratings=np.stack([first, second], axis=1),
        is_graded=np.ones(60, np.bool_),
        scales=[Scale(low=1, high=6)],
    )


def test_measures_by_group_are_rsmtools() -> None:
    found = compare_groups(made_up(), ["a", "b", "c"] * 20, SMALL).groups
    assert [g.name for g in found.groups] == list(BY_GROUP)
    for group in found.groups:
        for name, expected in BY_GROUP[group.name].items():
            assert group.estimates[name].value == pytest.approx(expected, abs=1e-6), (group.name, name)


def test_prmse_of_all_is_rsmtools() -> None:
    (everybody,) = compare_groups(made_up(), ["all"] * 60, SMALL).groups.groups
    assert everybody.estimates["prmse"].value == pytest.approx(ALL_PRMSE, abs=1e-6)


def test_osa_osd_and_csd_are_rsmtools() -> None:
    found = compare_groups(made_up(), ["a", "b", "c"] * 20, SMALL).explained
    for name, (r2, p) in EXPLAINED.items():
        assert found[name].r2 == pytest.approx(r2, abs=1e-6), name
        assert found[name].p == pytest.approx(p, abs=1e-6), name


def test_the_summary_is_of_these_groups() -> None:
    found = compare_groups(made_up(), ["a", "b", "c"] * 20, SMALL).groups.summary
    assert found["worst_group_qwk"].value == pytest.approx(BY_GROUP["c"]["qwk"], abs=1e-6)
    assert found["qwk_gap"].value == pytest.approx(BY_GROUP["b"]["qwk"] - BY_GROUP["c"]["qwk"], abs=1e-6)
    assert found["max_dsm"].value == pytest.approx(BY_GROUP["b"]["dsm"], abs=1e-6)
    assert found["worst_group_prmse"].value == pytest.approx(BY_GROUP["a"]["prmse"], abs=1e-6)
