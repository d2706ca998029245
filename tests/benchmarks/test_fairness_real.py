"""Law school and OULAD: published figures found again, a useless model named, and no look into the future."""

import gzip
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from benchmarks.fairness_real import CASES, MARKING_DAYS, Predicted, at_risk, known_by, law, read, survey, tables
from components.fairness.table import Tables

pytestmark = pytest.mark.data


def accuracies(found: Predicted) -> tuple[float, float]:
    y, guess = found.rows.label, found.rows.probability >= 0.5
    return accuracy_score(y, guess), balanced_accuracy_score(y, guess)


def test_law_school_has_the_figures_of_its_readme(data_folder: Path) -> None:
    """README: accuracy .907, balanced .626, |TPR gap| + |TNR gap| .504, parity .194, ABROCA .0324."""
    found = law(data_folder)
    assert accuracies(found) == pytest.approx((0.907, 0.626), abs=0.0005)
    its = tables(found, ["race"], 50)
    assert its.useless is None
    race = its.attributes["race"]
    summary = race.comparison.summary
    assert summary["demographic_parity_difference"].value == pytest.approx(0.194, abs=0.0005)
    other, white = race.comparison.groups
    assert (other.name, white.name) == ("Non-White", "White")
    rates = {
        name: [g.estimates[name].value or 0.0 for g in (other, white)]
        for name in ("true_positive_rate", "false_positive_rate")
    }
    assert rates["true_positive_rate"] == pytest.approx([0.910, 0.995], abs=0.0006)
    assert [1 - rate for rate in rates["false_positive_rate"]] == pytest.approx([0.525, 0.106], abs=0.0006)
    assert sum(abs(a - b) for a, b in rates.values()) == pytest.approx(0.504, abs=0.001)
    assert summary["equalized_odds_difference"].low is not None
    assert summary["equalized_odds_difference"].low > 0.3
    # the notebook interpolates at 10,000 points
    assert race.pairs[0].abroca.value == pytest.approx(0.0324, abs=0.0002)


def test_the_surveys_oulad_model_is_found_again_and_named_useless(data_folder: Path) -> None:
    """README: 21,562 rows, accuracy .675, balanced .500, parity 0, equalized odds 0, ABROCA .0088."""
    found = survey(data_folder)
    assert found.trained_on + len(found.rows.label) == 21_562
    assert accuracies(found) == pytest.approx((0.675, 0.500), abs=0.0005)
    its = tables(found, ["gender"], 50)
    summary = its.attributes["gender"].comparison.summary
    assert summary["demographic_parity_difference"].value == 0.0
    assert summary["equalized_odds_difference"].value == 0.0
    abroca = its.attributes["gender"].pairs[0].abroca
    assert abroca.value == pytest.approx(0.0088, abs=0.0001)
    assert abroca.low == 0.0
    assert abroca.p is not None
    assert abroca.p > 0.5
    assert its.useless is not None
    assert "useless at the threshold 0.5" in its.useless
    assert "they do not make it fair" in its.useless


@pytest.fixture(scope="module")
def at_days(data_folder: Path) -> dict[str, tuple[Predicted, Tables]]:
    found = {name: CASES[name][0](data_folder) for name in ("day 30", "day 90")}
    return {name: (one, tables(one, CASES[name][1], 30)) for name, one in found.items()}


def test_more_days_tell_more_and_every_table_has_its_intervals(at_days: dict[str, tuple[Predicted, Tables]]) -> None:
    worst = {}
    for name, (_, its) in at_days.items():
        assert its.useless is None
        assert list(its.attributes) == list(CASES[name][1])
        for one in its.attributes.values():
            for summary in one.comparison.summary.values():
                assert summary.status == "ok"
                assert summary.value is not None
                assert summary.low is not None
                assert summary.high is not None
                assert summary.low <= summary.value <= summary.high
            assert all(pair.abroca.status == "ok" for pair in one.pairs)
        worst[name] = its.attributes["gender"].comparison.summary["worst_group_auc"]
    assert (worst["day 30"].high or 1.0) < (worst["day 90"].low or 0.0)
    assert len(at_days["day 30"][1].attributes["imd_band"].pairs) == 45  # of eleven bands the ten largest


def test_base_rates_differ_as_the_readme_says(at_days: dict[str, tuple[Predicted, Tables]]) -> None:
    """README, over all enrolments: F .484 over M .462, no disability .482 over .381, .352 rising to .575 by band."""
    for _, its in at_days.values():
        rates = {
            (name, g.name): g.estimates["base_rate"].value or 0.0
            for name, one in its.attributes.items()
            for g in one.comparison.groups
            if g.status == "ok"
        }
        assert rates["gender", "F"] > rates["gender", "M"]
        assert rates["disability", "N"] > rates["disability", "Y"] + 0.05
        assert rates["imd_band", "90-100%"] > rates["imd_band", "0-10%"] + 0.15


def test_train_and_test_share_no_student(data_folder: Path) -> None:
    known = known_by(data_folder / "oulad", 30)
    found = at_risk(data_folder, 30)
    before = set(known.filter(pl.col("code_presentation").str.starts_with("2013"))["id_student"])
    after = known.filter(pl.col("code_presentation").str.starts_with("2014"))["id_student"]
    left = [student for student in after if student not in before]
    assert len(left) == len(found.rows.label)
    assert len(set(left)) == found.rows.students


def test_what_happens_after_the_day_changes_nothing_that_is_known_on_it(data_folder: Path, tmp_path: Path) -> None:
    day = 30
    known = known_by(data_folder / "oulad", day)
    for name in ("assessments.csv", "studentInfo.csv.gz", "studentRegistration.csv.gz"):
        shutil.copy(data_folder / "oulad" / name, tmp_path / name)
    work = read(data_folder / "oulad" / "studentAssessment.csv.gz")
    handed_in = pl.col("date_submitted").cast(pl.Int64)
    later = work.filter(handed_in <= day).with_columns(
        score=pl.when(handed_in > day - MARKING_DAYS).then(pl.lit("0")).otherwise("score")
    )
    (tmp_path / "studentAssessment.csv.gz").write_bytes(gzip.compress(later.write_csv().encode()))
    registered = read(tmp_path / "studentRegistration.csv.gz").with_columns(
        date_unregistration=pl.when(pl.col("date_unregistration").cast(pl.Int64) > day)
        .then(None)
        .otherwise("date_unregistration")
    )
    (tmp_path / "studentRegistration.csv.gz").write_bytes(gzip.compress(registered.write_csv().encode()))
    again = known_by(tmp_path, day)
    hidden = ["passed", "final_result", "date_unregistration"]
    assert again.drop(hidden).equals(known.drop(hidden))
    assert known["score"].drop_nulls().len() > 1_000
    assert np.isfinite(known["score"].drop_nulls().to_numpy()).all()
