"""From a night's submissions to grades in a file, and from a teacher's override to the next release's card."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from components.overrides import Journal, Override
from components.pseudonyms import pseudonyms
from flows.__main__ import main
from flows.lineage import lineage_tree
from flows.operations import run_request
from flows.settings import Settings
from tests.conftest import Released

pytestmark = [pytest.mark.slow, pytest.mark.e2e]


def night_file(released: Released, folder: Path) -> Path:
    """Write submissions without scores, as a system exports them; the last text is no English."""
    rows = pl.read_parquet(released.logs).head(12).select(pl.col("student").alias("SIS User ID"), "prompt", "text")
    rows = rows.with_columns(pl.col("SIS User ID").alias("student"), Student=pl.lit("=1+1"))
    last = pl.DataFrame({"SIS User ID": ["x"], "prompt": rows["prompt"][:1], "text": ["zzq xkv " * 60]})
    rows = pl.concat([rows, last.with_columns(student=pl.lit("x"), Student=pl.lit("Bo"))], how="diagonal")
    rows.write_csv(folder / "night.csv")
    return folder / "night.csv"


def test_a_nights_submissions_become_grades_for_canvas(
    released_essays: Released, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = released_essays.settings
    monkeypatch.setenv("HOMEROOM_STORE", settings.store)
    monkeypatch.setenv("HOMEROOM_KEYS", str(settings.keys))
    night, out, grades = night_file(released_essays, tmp_path), tmp_path / "answers.parquet", tmp_path / "grades.csv"
    how = ["--grades", str(grades), "--lms", "canvas", "--assignment", "{prompt} (points)"]
    with pytest.raises(SystemExit) as ended:
        main(["score", "essay_grading", "--data", str(night), "--out", str(out), *how])
    assert not ended.value.code
    answers = pl.read_parquet(out)
    assert answers.height == 13
    with grades.open(newline="") as stream:
        rows = list(csv.reader(stream))
    prompts = sorted(answers["prompt"].unique())
    assert rows[0] == ["Student", "SIS User ID", *(f"{prompt} (points)" for prompt in prompts)]
    assert {row[0] for row in rows[1:]} == {"'=1+1", "Bo"}
    assert [row[2:] for row in rows if row[1] == "x"] == [["", ""]], "the model abstained"
    key = settings.read_pseudonym_key()
    for row in rows[1:]:
        (student,) = pseudonyms(key, [row[1]])
        own = dict(answers.filter(pl.col("student") == student).select("prompt", "score").iter_rows())
        assert [float(cell) if cell else None for cell in row[2:]] == [own.get(prompt) for prompt in prompts]


def test_the_next_training_learns_from_overrides_and_says_so(released_essays: Released, tmp_path: Path) -> None:
    shutil.copytree(released_essays.untouched, tmp_path / "store")
    settings = Settings(store=str(tmp_path / "store"), cache=tmp_path / "cache", keys=released_essays.settings.keys)
    first = pl.read_parquet(released_essays.logs).row(0, named=True)
    key = settings.read_pseudonym_key()
    other = 1.0 if first["score"] != 1 else 2.0
    Journal(tmp_path / "kept").append(
        Override(
            id="0" * 32,
            made_utc="2026-11-21T20:00:00.000+00:00",
            application="essay_grading",
            release=released_essays.summary.outcome.release.version,
            prompt=first["prompt"],
            text=first["text"],
            machine_score=None,
            score=other,
            reason="Why not?",
            teacher="T",
            response=pseudonyms(key, [first["response"]], "response")[0],
            pseudonym_key_id=key.id,
        )
    )
    request = replace(released_essays.summary.request, teacher_overrides=(str(tmp_path / "kept"),))
    summary = run_request(request, settings)
    store = settings.open_store()
    writing = summary.outcome.logs
    assert writing.overrides == 1
    scores = pl.read_parquet(store.folder(writing) / "responses.parquet")
    response = pseudonyms(key, [first["response"]], "response")[0]
    assert scores.filter(pl.col("response") == response)["score"].to_list() == [other]
    card = (store.folder(summary.outcome.release) / "card.md").read_text()
    assert "Of the human scores, 1 are teachers' overrides of an earlier release's" in card
    assert f"`{writing.overrides_sha256[:12]}`" in card
    assert "Why not?" not in card
    tree = json.dumps(lineage_tree(store, summary.outcome.release))
    assert '"TeacherOverrides"' in tree
    assert writing.overrides_sha256 in tree
    assert "teachers' overrides" in Path(summary.report).read_text()
