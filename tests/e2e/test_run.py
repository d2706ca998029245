"""The command line on files: from raw logs to a release, again without work, to answers in a file."""

import gzip
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import polars.selectors as cs
import pytest

from flows.__main__ import main
from flows.operations import run_request
from flows.request import RunRequest
from flows.settings import Settings
from serving.bundle import load_bundle
from tests.conftest import Released

pytestmark = [pytest.mark.slow, pytest.mark.e2e]


def homeroom(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run a command that must succeed and return its standard output."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    captured = capsys.readouterr()
    assert ended.value.code == 0, captured.err
    return captured.out


@pytest.fixture
def same_places(released: Released, monkeypatch: pytest.MonkeyPatch) -> Released:
    """Point the command line at the finished run's store."""
    monkeypatch.setenv("HOMEROOM_STORE", released.settings.store)
    monkeypatch.setenv("HOMEROOM_KEYS", str(released.settings.keys))
    return released


def again(released: Released, *changes: str) -> list[str]:
    request = released.summary.request
    out = ["run", request.application, "--no-prefect", "--json"]
    for path in request.data:
        out += ["--data", path]
    for text in (*request.overrides, *changes):
        out += ["--set", text]
    return out


def test_a_second_run_skips_everything_and_says_why(same_places: Released, capsys: pytest.CaptureFixture[str]) -> None:
    summary = json.loads(homeroom(capsys, *again(same_places)))
    assert [s["stage"] for s in summary["stages"]] == [
        "ingest",
        "preprocess",
        "leakage",
        "train",
        "evaluate",
        "fairness",
        "export",
        "deploy",
    ]
    assert {s["status"] for s in summary["stages"]} == {"skipped"}
    assert all("digests are right" in s["reason"] for s in summary["stages"])
    first = same_places.summary.to_json()
    for stage, artifact in first["artifacts"].items():
        found = summary["artifacts"][stage]
        assert (found["kind"], found["sha256"]) == (artifact["kind"], artifact["sha256"])
    assert summary["artifacts"].keys() == first["artifacts"].keys()
    assert summary["release"]["version"] == first["release"]["version"]
    report = Path(summary["report"]).read_text(encoding="utf-8")
    assert summary["release"]["version"] in report
    assert f"{summary['metrics']['auc']['value']:.4f}" in report
    assert f"<dt>Items</dt><dd>{summary['data']['items']}</dd>" in report


def test_moved_logs_run_nothing(same_places: Released, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    moved = tmp_path / "elsewhere" / "renamed.parquet"
    moved.parent.mkdir()
    shutil.copyfile(same_places.logs, moved)
    arguments = [str(moved) if a == str(same_places.logs) else a for a in again(same_places)]
    assert {s["status"] for s in json.loads(homeroom(capsys, *arguments))["stages"]} == {"skipped"}


def test_another_epoch_trains_again_but_ingests_nothing(
    same_places: Released, capsys: pytest.CaptureFixture[str]
) -> None:
    out = homeroom(capsys, "explain", "train", "--set", "train.max_epochs=4")
    assert "configuration max_epochs: 3 -> 4" in out
    assert "skipped" in homeroom(capsys, "explain", "preprocess", "--set", "train.max_epochs=4")
    assert "because train before it would run" in homeroom(capsys, "explain", "deploy", "--set", "train.max_epochs=4")


def test_lineage_walks_back_to_the_raw_file(same_places: Released, capsys: pytest.CaptureFixture[str]) -> None:
    version = same_places.summary.outcome.release.version
    out = homeroom(capsys, "lineage", version[:-3])
    assert out.splitlines()[0] == version
    for kind in ("Release", "OnnxModel", "Evaluation", "Checkpoint", "SequenceDataset", "StudentLogs", "RawFiles"):
        assert kind in out
    assert same_places.summary.outcome.raw.digests[0][:12] in out
    tree = json.loads(homeroom(capsys, "lineage", "knowledge_tracing", "--json"))
    assert tree["version"] == version


@pytest.mark.parametrize("form", ["csv.gz", "jsonl", "csv"])
def test_the_same_logs_in_another_form_give_the_same_answers(
    form: str, same_places: Released, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pl.read_parquet(same_places.logs)
    path = tmp_path / f"answers.{form}"
    if form == "jsonl":
        table.write_ndjson(path)
    elif form == "csv":
        table.write_csv(path)
    else:
        with gzip.open(path, "wb") as stream:
            stream.write(table.write_csv().encode())
    out = homeroom(capsys, "stage", "ingest", "knowledge_tracing", "--data", str(path))
    facts = json.loads(out)["facts"]
    expected = same_places.summary.outcome.logs
    assert (facts["rows"], facts["students"], facts["items"], facts["skills"]) == (
        expected.rows,
        expected.students,
        expected.items,
        expected.skills,
    )
    assert facts["quarantined"] == 0


def test_scores_in_a_file_are_the_answers_of_the_service(
    same_places: Released, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome, settings = same_places.summary.outcome, same_places.settings
    out = tmp_path / "answers.parquet"
    homeroom(capsys, "score", "knowledge_tracing", "--data", str(same_places.logs), "--out", str(out))
    scores = pl.read_parquet(out)
    assert scores.height == outcome.logs.rows
    assert scores["release"].unique().to_list() == [outcome.release.version]
    assert scores["probability"].is_between(0, 1).all()

    store = settings.open_store()
    bundle = load_bundle(store.folder(outcome.release), settings.read_signing_key())
    asked = requests_for(store.folder(outcome.logs), every=37)
    answers = [bundle.answer([bundle.requests.read_plain(r)])[0].predictions[0].probability for _, r in asked]
    found = scores["probability"].to_numpy()[[row for row, _ in asked]]
    assert len(asked) > 100
    assert np.abs(found - np.array(answers)).max() <= 1e-5


def requests_for(logs: Path, every: int) -> list[tuple[int, dict[str, Any]]]:
    """Return (row, request) for some rows of the logs: the student's steps before it, then the row as candidate."""
    rows = pl.read_parquet(logs / "interactions.parquet").join(
        pl.read_parquet(logs / "skill_sets.parquet"), on="skill_set", how="left", maintain_order="left"
    )
    picked = []
    steps = rows.select("item", "skills", "correct").to_dicts()
    starts = np.arange(rows.height) - rows["position"].to_numpy().astype(np.int64)
    for row in range(0, rows.height, every):
        history = [{**s, "correct": float(s["correct"])} for s in steps[starts[row] : row]]
        candidate = {"item": steps[row]["item"], "skills": steps[row]["skills"]}
        picked.append((row, {"history": history, "candidates": [candidate]}))
    return picked


def test_scores_last_gives_one_row_per_student(
    same_places: Released, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    every, last = tmp_path / "all.parquet", tmp_path / "last.csv"
    data = str(same_places.logs)
    homeroom(capsys, "score", "knowledge_tracing", "--data", data, "--out", str(every))
    homeroom(capsys, "score", "knowledge_tracing", "--data", data, "--out", str(last), "--which", "last")
    expected = pl.read_parquet(every).group_by("student", maintain_order=True).last()
    found = pl.read_csv(last)
    assert found["student"].to_list() == expected["student"].to_list()
    assert np.allclose(found["probability"].to_numpy(), expected["probability"].to_numpy(), atol=1e-6)


def test_no_student_id_is_in_the_store_or_the_report(released: Released) -> None:
    ids = set(pl.read_parquet(released.logs)["student"].unique().to_list())
    root = Path(released.settings.store)
    # the simulated raw logs are the one artifact that holds ids, as a source would deliver them
    raw = {p.parent for p in root.glob("artifacts/*/answers.parquet")}
    pattern = re.compile(rb"(?<![\w-])(" + b"|".join(re.escape(i.encode()) for i in sorted(ids)) + rb")(?![\w-])")
    looked = set()
    for path in root.rglob("*"):
        if not path.is_file() or path.parent in raw:
            continue
        looked.add(path.suffix)
        if path.suffix == ".parquet":  # compressed: look at the values
            for column in pl.read_parquet(path).select(cs.string()).iter_columns():
                assert not ids & set(column.unique().to_list()), f"{path.name}: {column.name}"
        else:
            assert pattern.search(path.read_bytes()) is None, path.name
    assert looked >= {".json", ".html", ".csv", ".md", ".parquet", ".npy", ".ckpt", ".onnx", ".py"}


def test_a_gate_stops_the_run_with_its_exit_code(same_places: Released, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(again(same_places, "evaluate.min_auc=0.999", 'evaluate.on_fail="stop"'))
    assert ended.value.code == 6
    assert "0.999" in capsys.readouterr().err


@pytest.mark.soak
def test_a_worse_release_does_not_take_over(released: Released, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(released.settings.store, store)
    settings = Settings(store=str(store), cache=tmp_path / "cache", keys=released.settings.keys)
    request = released.summary.request
    worse = RunRequest(
        application=request.application,
        data=request.data,
        overrides=(*request.overrides, "train.max_epochs=1", "train.learning_rate=1e-6", "deploy.max_auc_drop=0.0"),
    )
    summary = run_request(worse, settings)
    assert summary.outcome.release.verdict in {"pass", "warn"}  # it may be so bad that its verdict on groups says so
    assert not summary.decision.promote
    assert "worse: auc 0." in summary.decision.reason
    assert summary.outcome.release.version != released.summary.outcome.release.version
    assert summary.outcome.evaluation.metrics["auc"] < released.summary.outcome.evaluation.metrics["auc"]


def test_the_readme_example_runs(released: Released, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    code = text.split("```python\n")[1].split("```")[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 11  # an import and ten lines
    table = pl.read_parquet(released.logs)
    table.write_csv(tmp_path / "answers.csv")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOMEROOM_STORE", str(tmp_path / "store"))
    # the one change: fewer epochs than a reader would train
    code = code.replace('"small")', '"small", ["train.max_epochs=1", "evaluate.resamples=20"])')
    names: dict[str, Any] = {}
    exec(code, names)
    assert names["release"].version.startswith("knowledge_tracing-")
