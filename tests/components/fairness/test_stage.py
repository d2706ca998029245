"""The stage from logs and an evaluation in the store to groups.json and a verdict."""

import csv
import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, recall_score
from sklearn.model_selection import train_test_split

from components.artifacts import Evaluation, FairnessReport, Lineage, StudentLogs
from components.errors import ConfigError, GateStoppedError, SchemaError
from components.fairness.config import FairnessConfig
from components.fairness.groups import ScoredRows, compare_groups
from components.fairness.stage import fairness
from components.gate.decision import findings_of, worst_of
from components.stage import PENDING, Runner
from components.store import Store

Simulate = Callable[..., ScoredRows]
QUICK = FairnessConfig(resamples=50)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def publish(
    store: Store,
    folder: Path,
    rows: ScoredRows,
    groups: Mapping[str, Sequence[str | None]],
    *,
    known: int | None = None,
) -> tuple[StudentLogs, Evaluation]:
    """Publish logs of the first `known` students and an evaluation whose every third row is not scored."""
    students = int(rows.student.max()) + 1
    # pseudonyms in no order, so that row numbers and sorted names differ
    names = np.array([f"{(i * 7919) % 104729:032x}" for i in range(students)])
    logs_folder, evaluation_folder = folder / "logs", folder / "evaluation"
    logs_folder.mkdir(parents=True)
    evaluation_folder.mkdir()
    table = pl.DataFrame({"student": names, "declared_split": [None] * students, **groups})
    table.head(known or students).sort("student").write_parquet(logs_folder / "students.parquet")
    every, n = np.repeat(np.arange(len(rows.student)), 2), len(rows.student)
    scored = np.tile([True, False], n)
    pl.DataFrame(
        {
            "student": names[rows.student[every]],
            "position": np.arange(2 * n, dtype=np.uint32),
            "scored": scored,
            # rows that do not count hold the opposite: including them would show
            "label": np.where(scored, rows.label[every], 1 - rows.label[every]).astype(np.float32),
            "probability": rows.probability[every],
        }
    ).write_parquet(evaluation_folder / "predictions.parquet")
    logs = StudentLogs(
        ref=PENDING,
        lineage=Lineage(stage="ingest"),
        rows=2 * n,
        students=students,
        items=0,
        skills=0,
        quarantined=0,
        layout="fake",
        protocol="problem",
        pseudonym_key_id="0" * 16,
        groups=tuple(groups),
    )
    evaluation = Evaluation(
        ref=PENDING,
        lineage=Lineage(stage="evaluate"),
        metrics={},
        intervals={},
        scored=n,
        students=students,
        protocol="problem",
    )
    return store.publish(logs, logs_folder), store.publish(evaluation, evaluation_folder)


def read(store: Store, report: FairnessReport) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((store.folder(report) / "groups.json").read_text())
    return value


def test_the_report_holds_the_comparison_of_the_scored_rows_rounded(
    store: Store, tmp_path: Path, simulate: Simulate
) -> None:
    rows = simulate(150, 20, 0)
    values: list[str | None] = [["f", "m", None][i % 3] for i in range(150)]
    logs, evaluation = publish(store, tmp_path / "in", rows, {"gender": values})
    report = read(store, Runner(store)(fairness, logs, evaluation, QUICK))
    shown = {g["group"]: g for g in report["attributes"]["gender"]["groups"]}
    assert list(shown) == ["f", "m", "unknown"]
    for g in compare_groups(rows, values, QUICK).groups:
        assert (shown[g.name]["students"], shown[g.name]["scored"]) == (50, 1_000)
        for name, estimate in g.estimates.items():
            assert estimate.value is not None
            assert shown[g.name]["measures"][name]["value"] == round(estimate.value, 3)
    gap = report["attributes"]["gender"]["gaps"]["auc"]
    values_of = {name: g["measures"]["auc"]["value"] for name, g in shown.items()}
    assert gap["value"] == pytest.approx(max(values_of.values()) - min(values_of.values()), abs=0.0011)
    assert (values_of[gap["higher"]], values_of[gap["lower"]]) == (max(values_of.values()), min(values_of.values()))
    assert gap["limit"] == 0.05
    assert report["attributes"]["gender"]["gaps"]["brier"]["limit"] is None


def test_a_small_group_leaves_no_number_in_the_file(store: Store, tmp_path: Path, simulate: Simulate) -> None:
    rows = simulate(97, 20, 1)
    logs, evaluation = publish(store, tmp_path / "in", rows, {"gender": ["f"] * 45 + ["m"] * 45 + ["x"] * 7})
    done = Runner(store)(fairness, logs, evaluation, QUICK)
    report = read(store, done)
    found = report["attributes"]["gender"]
    assert ([g["group"] for g in found["groups"]], found["too_few"]) == (["f", "m"], 1)
    assert '"x"' not in json.dumps(report)
    for number in ("97", "1940", "140"):  # all students, all rows, the small group's rows
        assert f": {number}" not in json.dumps(report)
    assert any("1 of 3 groups have fewer than 10 students" in r for r in done.reasons)


def test_all_attributes_of_the_logs_are_compared_unless_some_are_named(
    store: Store, tmp_path: Path, simulate: Simulate
) -> None:
    rows = simulate(80, 20, 2)
    logs, evaluation = publish(
        store, tmp_path / "in", rows, {"gender": ["f", "m"] * 40, "band": ["a"] * 40 + ["b"] * 40}
    )
    run = Runner(store)
    assert list(read(store, run(fairness, logs, evaluation, QUICK))["attributes"]) == ["gender", "band"]
    named = run(fairness, logs, evaluation, FairnessConfig(resamples=50, attributes=("band",)))
    assert list(read(store, named)["attributes"]) == ["band"]
    with pytest.raises(ConfigError, match=r"names \['age'\].*it has \['gender', 'band'\]"):
        run(fairness, logs, evaluation, FairnessConfig(attributes=("age", "band")))


def test_logs_without_attributes_give_the_verdict_no_groups(store: Store, tmp_path: Path, simulate: Simulate) -> None:
    logs, evaluation = publish(store, tmp_path / "in", simulate(30, 20, 3), {})
    done = Runner(store)(fairness, logs, evaluation, QUICK)
    assert done.verdict == "no_groups"
    assert read(store, done)["verdict"] == "no_groups"


def test_predictions_of_strangers_are_refused_by_number_not_by_name(
    store: Store, tmp_path: Path, simulate: Simulate
) -> None:
    logs, evaluation = publish(store, tmp_path / "in", simulate(40, 20, 4), {"gender": ["f", "m"] * 20}, known=37)
    with pytest.raises(SchemaError, match=r"^3 of 40 students with predictions are not in the logs' students.parquet"):
        Runner(store)(fairness, logs, evaluation, QUICK)


def test_a_failed_gate_flags_by_default_and_stops_when_asked(store: Store, tmp_path: Path, simulate: Simulate) -> None:
    rows = simulate(200, 30, 5, blind=np.arange(200) < 100)
    logs, evaluation = publish(store, tmp_path / "in", rows, {"gender": ["f"] * 100 + ["m"] * 100})
    flagged = Runner(store)(fairness, logs, evaluation, QUICK)
    assert flagged.verdict == "fail"
    assert flagged.reasons[0].startswith("gender: auc is 0.")
    with pytest.raises(GateStoppedError, match=r"gender: auc is 0\..*Look into the groups named"):
        Runner(store)(fairness, logs, evaluation, FairnessConfig(resamples=50, on_fail="stop"))


def test_a_required_attribute_that_the_logs_lack_is_a_failed_report_and_an_optional_one_a_warning(
    store: Store, tmp_path: Path, simulate: Simulate
) -> None:
    logs, evaluation = publish(store, tmp_path / "in", simulate(80, 20, 6), {"gender": ["f", "m"] * 40})
    config = FairnessConfig(resamples=50, optional=("age",))
    passed = Runner(store)(fairness, logs, evaluation, config)
    assert passed.verdict == "pass"
    found = findings_of(read(store, passed))
    assert [(f.check, f.subject, f.outcome) for f in found if f.check == "groups"] == [("groups", "age", "warn")]
    failed = Runner(store)(fairness, logs, evaluation, FairnessConfig(resamples=50, required=("age",)))
    assert failed.verdict == "fail"
    worst = findings_of(read(store, failed))[0]
    assert (worst.check, worst.subject, worst.outcome) == ("groups", "age", "stop")
    assert worst_of(findings_of(read(store, failed))) == "stop"


def test_findings_in_the_file_are_rounded_as_everything_else(store: Store, tmp_path: Path, simulate: Simulate) -> None:
    logs, evaluation = publish(store, tmp_path / "in", simulate(80, 20, 7), {"gender": ["f", "m"] * 40})
    report = read(store, Runner(store)(fairness, logs, evaluation, QUICK))
    assert {f["measure"] for f in report["findings"]} == {"auc", "calibration"}
    for finding in report["findings"]:
        gap = report["attributes"]["gender"]["gaps"][finding["measure"]]
        assert [finding[k] for k in ("value", "low", "high")] == [gap[k] for k in ("value", "low", "high")]


@pytest.mark.data
def test_the_law_school_gap_between_groups_is_found_as_scikit_learn_counts_it(
    data_folder: Path, store: Store, tmp_path: Path
) -> None:
    """One row per student: pass_bar by race, logistic regression as in the data's README."""
    with gzip.open(data_folder / "law-school-bar" / "law_school_clean.csv.gz", "rt") as stream:
        table = list(csv.DictReader(stream))
    race = np.array([row["race"] for row in table])
    label = np.array([float(row["pass_bar"]) for row in table])
    columns = [c for c in table[0] if c not in {"race", "pass_bar"}]
    features = np.array([[float(row[c]) for c in columns] + [float(row["race"] == "White")] for row in table])
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    train, test = train_test_split(np.arange(len(label)), test_size=0.3, random_state=42)
    model = LogisticRegression(max_iter=1_000).fit(features[train], label[train])
    probability = model.predict_proba(features[test])[:, 1].astype(np.float32)
    rows = ScoredRows(student=np.arange(len(test)), label=label[test].astype(np.float32), probability=probability)
    logs, evaluation = publish(store, tmp_path / "in", rows, {"race": race[test].tolist()})
    report = read(store, Runner(store)(fairness, logs, evaluation, QUICK))
    shown = {g["group"]: g for g in report["attributes"]["race"]["groups"]}
    guess = probability >= 0.5
    for name in ("White", "Non-White"):
        inside = race[test] == name
        y, p = label[test][inside], guess[inside]
        measures = shown[name]["measures"]
        assert measures["accuracy"]["value"] == pytest.approx(accuracy_score(y, p), abs=0.0006)
        assert measures["true_positive_rate"]["value"] == pytest.approx(recall_score(y, p), abs=0.0006)
    # README: TPR .910 (Non-White) and .995 (White), accuracy .907, TNR .525 and .106, statistical parity .194
    assert shown["Non-White"]["measures"]["true_positive_rate"]["value"] == pytest.approx(0.910, abs=0.01)
    assert shown["White"]["measures"]["true_positive_rate"]["value"] == pytest.approx(0.995, abs=0.005)
    assert 1 - shown["Non-White"]["measures"]["false_positive_rate"]["value"] == pytest.approx(0.525, abs=0.05)
    assert report["attributes"]["race"]["gaps"]["selection_rate"]["value"] == pytest.approx(0.194, abs=0.02)
    assert report["attributes"]["race"]["gaps"]["selection_rate"]["told_apart"] is True


def test_the_file_has_pairs_curves_summaries_and_intersections(
    store: Store, tmp_path: Path, simulate: Simulate
) -> None:
    rows = simulate(120, 20, 6)
    logs, evaluation = publish(
        store, tmp_path / "in", rows, {"gender": ["f", "m"] * 60, "band": ["a"] * 60 + ["b"] * 60}
    )
    config = FairnessConfig(resamples=30, attributes=("gender", "gender & band"))
    report = read(store, Runner(store)(fairness, logs, evaluation, config))
    assert list(report["attributes"]) == ["gender", "gender & band"]
    assert report["useless"] is None
    for found in report["attributes"].values():
        assert found["summary"]["equalized_odds_difference"]["status"] == "ok"
        assert all(p["abroca"]["status"] == "ok" for p in found["pairs"])
        for group in found["groups"]:
            assert group["curves"]["roc"][-1] == [1, 1]
            assert len(group["curves"]["reliability"]) == len(group["curves"]["distribution"]) == 10
    assert len(report["attributes"]["gender & band"]["groups"]) == 4
    for name in report["attributes"]["gender"]["summary"]:
        assert name in report["measures"]
    with pytest.raises(ConfigError, match=r"names \['age'\].*it has \['gender', 'band'\]"):
        Runner(store)(fairness, logs, evaluation, FairnessConfig(attributes=("gender & age",)))


def test_a_useless_model_is_named_in_the_report_and_the_log_also_without_groups(
    store: Store, tmp_path: Path, simulate: Simulate
) -> None:
    rows = simulate(60, 20, 7)
    flat = ScoredRows(student=rows.student, label=rows.label, probability=np.full(1_200, 0.75, np.float32))
    lines: list[str] = []
    for number, groups in enumerate(({"gender": ["f", "m"] * 30}, {})):
        logs, evaluation = publish(store, tmp_path / f"in{number}", flat, groups)
        report = read(store, Runner(store, say=lines.append)(fairness, logs, evaluation, QUICK))
        assert report["useless"].startswith("The model is useless: it gives every answer the same probability.")
    assert sum("fairness: The model is useless" in line for line in lines) == 2


def test_no_student_is_in_the_report_or_the_log(store: Store, tmp_path: Path, simulate: Simulate) -> None:
    rows = simulate(64, 20, 8)
    logs, evaluation = publish(
        store, tmp_path / "in", rows, {"gender": ["f", "m"] * 30 + ["x"] * 4, "band": ["a"] * 64}
    )
    lines: list[str] = []
    done = Runner(store, say=lines.append)(fairness, logs, evaluation, QUICK)
    said = json.dumps(read(store, done)) + "".join(lines) + "".join(done.reasons)
    names = pl.read_parquet(store.folder(logs) / "students.parquet")["student"].to_list()
    assert len(names) == 64
    assert not any(name in said for name in names)
