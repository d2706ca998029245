"""The stage from a source and an evaluation in the store to groups.json and a verdict."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from components.artifacts import Evaluation, FairnessReport, Lineage, ScoredWriting
from components.errors import ConfigError, GateStoppedError, SchemaError
from components.stage import PENDING, Runner
from components.store import Store
from components.writing.fairness.config import WritingFairnessConfig
from components.writing.fairness.groups import compare_groups
from components.writing.fairness.measures import WritingRows
from components.writing.fairness.stage import fairness

Grade = Callable[..., WritingRows]
QUICK = WritingFairnessConfig(resamples=50)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def publish(
    store: Store,
    folder: Path,
    rows: WritingRows,
    groups: Mapping[str, Sequence[str | None]],
    *,
    known: int | None = None,
    prompts: Sequence[str] = ("a", "b", "c"),
) -> tuple[ScoredWriting, Evaluation]:
    """Publish the first `known` students with their groups, and an evaluation whose prompts come in another order."""
    students = int(rows.student.max()) + 1
    names = np.array([f"{(i * 7919) % 104729:032x}" for i in range(students)])
    source, evaluated = folder / "source", folder / "evaluation"
    source.mkdir(parents=True)
    evaluated.mkdir()
    table = pl.DataFrame({"student": names, "declared_split": [None] * students, **groups})
    table.head(known or students).sort("student").write_parquet(source / "students.parquet")
    scales: list[dict[str, Any]] = [
        {"prompt": name, "low": s.low, "high": s.high, "step": s.step, "rows": 1, "text": None, "traits": {}}
        for name, s in zip(prompts, rows.scales, strict=True)
    ]
    (source / "prompts.json").write_text(json.dumps(list(reversed(scales))))
    order = np.random.default_rng(0).permutation(len(rows.score))
    pl.DataFrame(
        {
            "response": [f"{i:032x}" for i in range(len(order))],
            "student": names[rows.student],
            "prompt": np.array(["a", "b", "c"])[rows.prompt],
            "score": rows.score,
            "rater_1": rows.ratings[:, 0],
            "rater_2": rows.ratings[:, 1],
            "prediction": rows.raw,
            "rounded": rows.rounded,
            "low": rows.raw,
            "high": rows.raw,
            "abstained": pl.Series([None if g else "gibberish" for g in rows.is_graded], dtype=pl.String),
        }
    )[order.tolist()].write_parquet(evaluated / "predictions.parquet")
    writing = ScoredWriting(
        ref=PENDING,
        lineage=Lineage(stage="ingest"),
        rows=len(rows.score),
        students=students,
        prompts=3,
        raters=2,
        traits=(),
        quarantined=0,
        layout="fake",
        protocol="scored_writing",
        pseudonym_key_id="0" * 16,
        groups=tuple(groups),
    )
    evaluation = Evaluation(
        ref=PENDING,
        lineage=Lineage(stage="evaluate"),
        metrics={},
        intervals={},
        scored=len(rows.score),
        students=students,
        protocol="scored_writing",
    )
    return store.publish(writing, source), store.publish(evaluation, evaluated)


def read(store: Store, report: FairnessReport) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((store.folder(report) / "groups.json").read_text())
    return value


def test_the_report_holds_the_comparison_rounded(store: Store, tmp_path: Path, grade: Grade) -> None:
    rows = grade(300, 0)
    values: list[str | None] = [["f", "m", None][i % 3] for i in range(300)]
    writing, evaluation = publish(store, tmp_path / "in", rows, {"gender": values})
    report = read(store, Runner(store)(fairness, writing, evaluation, QUICK))
    found = report["attributes"]["gender"]
    shown = {g["group"]: g for g in found["groups"]}
    assert list(shown) == ["f", "m", "unknown"]
    expected = compare_groups(rows, values, QUICK)
    for g in expected.groups.groups:
        assert (shown[g.name]["students"], shown[g.name]["scored"]) == (100, 100)
        for name, estimate in g.estimates.items():
            assert estimate.value is not None
            assert shown[g.name]["measures"][name]["value"] == pytest.approx(estimate.value, abs=0.000501)
    kappas = {name: g["measures"]["qwk"]["value"] for name, g in shown.items()}
    gap = found["gaps"]["qwk"]
    assert gap["value"] == pytest.approx(max(kappas.values()) - min(kappas.values()), abs=0.0011)
    assert (gap["limit"], found["gaps"]["smd"]["limit"]) == (0.10, None)
    dsm = found["departures"]["dsm"]
    assert dsm["limit"] == 0.10
    assert {d["group"]: d["value"] for d in dsm["of"]} == {n: g["measures"]["dsm"]["value"] for n, g in shown.items()}
    for kind in ("osa", "osd", "csd"):
        its = expected.explained[kind]
        assert its.r2 is not None
        assert found["explained"][kind]["r2"] == pytest.approx(its.r2, abs=0.000501)
    assert report["sizes"] == {"min_students": 10, "min_scored": 30, "min_prompt_scored": 10}
    assert report["limits"] == {"qwk": 0.10, "dsm": 0.10}


def test_a_small_group_leaves_no_number_in_the_file(store: Store, tmp_path: Path, grade: Grade) -> None:
    rows = grade(197, 1)
    writing, evaluation = publish(store, tmp_path / "in", rows, {"gender": ["f"] * 95 + ["m"] * 95 + ["x"] * 7})
    done = Runner(store)(fairness, writing, evaluation, QUICK)
    report = read(store, done)
    found = report["attributes"]["gender"]
    assert ([g["group"] for g in found["groups"]], found["too_few"]) == (["f", "m"], 1)
    assert '"x"' not in json.dumps(report)
    assert ": 197" not in json.dumps(report)
    assert any("1 of 3 groups have fewer than 10 students or 30 scored" in r for r in done.reasons)


def test_attributes_are_all_or_those_named(store: Store, tmp_path: Path, grade: Grade) -> None:
    groups = {"gender": ["f", "m"] * 40, "band": ["a"] * 40 + ["b"] * 40}
    writing, evaluation = publish(store, tmp_path / "in", grade(80, 2), groups)
    run = Runner(store)
    assert list(read(store, run(fairness, writing, evaluation, QUICK))["attributes"]) == ["gender", "band"]
    named = run(fairness, writing, evaluation, WritingFairnessConfig(resamples=50, attributes=("band",)))
    assert list(read(store, named)["attributes"]) == ["band"]
    with pytest.raises(ConfigError, match=r"names \['age'\].*it has \['gender', 'band'\]"):
        run(fairness, writing, evaluation, WritingFairnessConfig(attributes=("age",)))


def test_a_source_without_attributes_gives_the_verdict_no_groups(store: Store, tmp_path: Path, grade: Grade) -> None:
    writing, evaluation = publish(store, tmp_path / "in", grade(30, 3), {})
    done = Runner(store)(fairness, writing, evaluation, QUICK)
    assert done.verdict == read(store, done)["verdict"] == "no_groups"


def test_predictions_of_strangers_are_refused_by_number_not_by_name(store: Store, tmp_path: Path, grade: Grade) -> None:
    writing, evaluation = publish(store, tmp_path / "in", grade(40, 4), {"gender": ["f", "m"] * 20}, known=37)
    with pytest.raises(SchemaError, match=r"^3 of 40 students with predictions are not in the source's students"):
        Runner(store)(fairness, writing, evaluation, QUICK)


def test_predictions_of_unknown_prompts_are_refused_by_number(store: Store, tmp_path: Path, grade: Grade) -> None:
    rows = grade(40, 5)
    writing, evaluation = publish(
        store, tmp_path / "in", rows, {"gender": ["f", "m"] * 20}, prompts=("a", "b", "another")
    )
    strange = int((rows.prompt == 2).sum())
    with pytest.raises(SchemaError, match=rf"^{strange} of 40 predictions are of prompts that are not in the source's"):
        Runner(store)(fairness, writing, evaluation, QUICK)


def test_a_failed_gate_flags_by_default_and_stops_when_asked(store: Store, tmp_path: Path, grade: Grade) -> None:
    rows = grade(400, 6, harsh=np.arange(400) < 150)
    writing, evaluation = publish(store, tmp_path / "in", rows, {"gender": ["f"] * 150 + ["m"] * 250})
    flagged = Runner(store)(fairness, writing, evaluation, QUICK)
    assert flagged.verdict == "fail"
    assert any(r.startswith("gender: dsm is -0.") and "for 'f'" in r for r in flagged.reasons)
    with pytest.raises(GateStoppedError, match=r"gender: dsm is -0\..*Look into the groups named"):
        Runner(store)(fairness, writing, evaluation, WritingFairnessConfig(resamples=50, on_fail="stop"))
