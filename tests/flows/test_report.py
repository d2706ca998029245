"""What a run says of its figures, in the page, in the summary and on the command line: protocol, baselines, repeats."""

import copy
import dataclasses
import json
import re
import shutil
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from components.app import load_application
from components.artifacts import Artifact
from components.deploy.card import model_card
from components.store import Store
from flows.cli.run import print_summary
from flows.operations import run_request
from flows.report import write_report
from flows.reporting import figures
from flows.reporting.figures import read_figures
from flows.reporting.words import titled
from flows.settings import Settings
from flows.summary import RunSummary
from tests.conftest import Released

pytestmark = pytest.mark.slow
FIELDS = Path(__file__).resolve().parents[2] / "docs" / "reference" / "run-summary.md"
WRITTEN = ("report.html", "summary.json", "figures.json")


def with_repeats(summary: RunSummary) -> RunSummary:
    """The run's summary as the old protocol would have it, with a model that is worse without repeats."""
    scores: dict[str, Any] = copy.deepcopy(dict(summary.scores))
    rows = copy.deepcopy({k: scores[k] for k in ("counts", "metrics", "intervals", "baselines", "comparison")})
    rows["counts"]["scored"] = 1234
    rows["metrics"]["auc"] = 0.5432
    rows["comparison"] |= {"verdict": "not_better", "sentence": "The model is worse, not better than a baseline."}
    return dataclasses.replace(
        summary,
        scores=scores
        | {
            "protocol": "row_per_skill",
            "repeats": {"scored": 567, "meaning": "A row repeats a problem."},
            "without_repeats": rows,
            "warnings": ["567 rows repeat"],
        },
    )


def text_of(page: str) -> str:
    return " ".join(page.split())


def test_the_default_protocol_stands_everywhere_with_no_repeats(
    released: Released, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = released.summary
    plain = summary.to_json()
    assert plain["data"]["protocol"] == summary.scores["protocol"] == summary.outcome.evaluation.protocol == "problem"
    assert (plain["repeats"]["scored"], plain["without_repeats"]) == (0, None)
    scored = summary.outcome.evaluation.scored
    page = text_of(Path(summary.report).read_text(encoding="utf-8"))
    assert "<dt>Protocol</dt><dd><code>problem</code></dd>" in page
    assert "Protocol <code>problem</code>, held out by student" in page
    assert f"Scored rows that are repeats: 0 of {scored}." in page
    card = (released.settings.open_store().folder(summary.outcome.release) / "card.md").read_text(encoding="utf-8")
    assert "protocol: `problem`" in card
    assert "No rows repeat a problem" in card
    print_summary(plain)
    assert "protocol problem" in capsys.readouterr().out


def test_the_verdict_against_logistic_regression_stands_everywhere(
    released: Released, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = released.summary
    plain = summary.to_json()
    assert set(plain["baselines"]["auc"]) == {"skill_mean", "skill_and_student_mean", "pfa", "best_lr"}
    comparison = plain["baselines"]["comparison"]
    assert comparison["title"].startswith("logistic regression")
    best = max(plain["baselines"]["auc"].values())
    difference = plain["metrics"]["auc"]["value"] - best
    assert comparison["auc_difference"] == pytest.approx(difference, abs=1e-12)
    is_better = comparison["interval"][0] > 0.0
    assert comparison["verdict"] == ("better" if is_better else "not_better")
    assert plain["warnings"] == ([] if is_better else [comparison["sentence"]])
    assert f"against {best:.4f}, difference {difference:+.4f}" in comparison["sentence"]
    page = text_of(Path(summary.report).read_text(encoding="utf-8"))
    judged = "Better than the baselines." if is_better else "Warning."
    assert f"<strong>{judged}</strong> {comparison['sentence']}" in page
    for auc in plain["baselines"]["auc"].values():
        assert f"{auc:.4f}" in page
    written = json.loads(Path(summary.report).with_name("summary.json").read_text())
    assert {name: written[name] for name in plain} == plain
    assert set(written) - set(plain) == {"format", "details"}
    described = set(re.findall(r"`([a-z_0-9]+)`", FIELDS.read_text(encoding="utf-8")))
    assert set(written) | set(written["details"]) | set(written["stages"][0]) <= described
    card = (released.settings.open_store().folder(summary.outcome.release) / "card.md").read_text(encoding="utf-8")
    assert comparison["sentence"] in card
    print_summary(plain)
    assert f"  {'' if is_better else 'warning: '}{comparison['sentence']}\n" in capsys.readouterr().out


def test_scores_without_repeats_stand_beside_those_over_all_rows(
    released: Released, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = with_repeats(released.summary)
    write_report(summary, released.settings.open_store(), tmp_path)
    page = text_of((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "Protocol <code>row_per_skill</code>" in page
    assert "A row repeats a problem. Scored rows that are repeats: 567 of" in page
    assert "The same without these rows: 1234 answers" in page
    assert "0.5432" in page
    assert "<strong>Warning.</strong> The model is worse, not better than a baseline." in page
    plain = json.loads((tmp_path / "summary.json").read_text())
    assert plain["without_repeats"]["metrics"]["auc"]["value"] == 0.5432
    assert plain["without_repeats"]["scored"] == 1234
    assert plain["metrics"] == released.summary.to_json()["metrics"]
    print_summary(plain)
    out = capsys.readouterr().out
    assert "without the 567 rows that repeat the problem of the row before" in out
    assert out.index(f"{plain['metrics']['auc']['value']:.4f}") < out.index("0.5432")
    assert "warning: The model is worse, not better than a baseline." in out


def test_a_gap_that_cannot_be_estimated_is_said_so(released: Released, tmp_path: Path) -> None:
    store, outcome = released.settings.open_store(), released.summary.outcome
    groups: dict[str, Any] = json.loads((store.folder(outcome.fairness) / "groups.json").read_text())
    attribute, found = next((name, found) for name, found in groups["attributes"].items() if found["gaps"])
    measure = next(iter(found["gaps"]))
    found["gaps"][measure] = {"status": "not_estimable", "groups": 1}
    found["too_few"] = 7
    (tmp_path / "groups").mkdir()
    (tmp_path / "groups" / "groups.json").write_text(json.dumps(groups))

    class Altered(Store):
        def folder(self, artifact: Artifact) -> Path:
            return tmp_path / "groups" if artifact == outcome.fairness else super().folder(artifact)

    write_report(released.summary, Altered(released.settings.store), tmp_path / "report")
    page = text_of((tmp_path / "report" / "report.html").read_text(encoding="utf-8"))
    part = page.split(f">{attribute.capitalize()}</h3>")[1]
    row = part.split(f'<th scope="row">{titled(measure)}</th>')[1].split("</tr>")[0]
    assert "not estimable" in row
    assert "Groups with too few students or answers to be shown: 7." in page


@pytest.mark.parametrize(("confidence", "shown"), [(0.9, "90 %"), (0.995, "99.5 %")])
def test_intervals_are_called_by_the_confidence_that_they_have(
    released: Released, tmp_path: Path, capsys: pytest.CaptureFixture[str], confidence: float, shown: str
) -> None:
    changed = with_repeats(released.summary)
    scores = {**changed.scores, "bootstrap": {**changed.scores["bootstrap"], "confidence": confidence}}
    summary, store, outcome = (
        dataclasses.replace(changed, scores=scores),
        released.settings.open_store(),
        changed.outcome,
    )
    assert released.summary.to_json()["confidence"] == 0.95
    plain = summary.to_json()
    assert plain["confidence"] == confidence
    print_summary(plain)
    out = capsys.readouterr().out
    assert out.count(f"({shown} interval ") >= len(plain["metrics"])
    assert "95 %" not in out
    write_report(summary, store, tmp_path)
    assert f"Small figures: {shown} intervals" in (tmp_path / "report.html").read_text(encoding="utf-8")
    application = load_application("knowledge_tracing")
    card = model_card(application, outcome.dataset, outcome.onnx, outcome.evaluation, outcome.fairness, scores)
    assert f"| figure | value | {shown} interval |" in card


def test_a_run_in_which_nothing_changed_draws_nothing(
    released: Released, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copytree(released.untouched, tmp_path / "store")  # in the store itself, other tests ran it again
    settings = Settings(store=str(tmp_path / "store"), cache=tmp_path / "cache", keys=released.settings.keys)

    def drawing(name: str) -> None:
        raise AssertionError(f"{name} was drawn")

    monkeypatch.setattr(figures, "_drawing", drawing)
    again = run_request(released.summary.request, settings)
    before, after = (Path(summary.report).parent for summary in (released.summary, again))
    assert read_figures(after) == read_figures(before) != {}
    page = (after / "report.html").read_text(encoding="utf-8")
    assert "could not be drawn" not in page
    assert f"written by run <code>{again.run}</code>" in page, "another reason to serve: another page"
    made = {stage["stage"]: stage["made_s"] for stage in released.summary.to_json()["stages"]}
    assert {stage["stage"]: stage["made_s"] for stage in again.to_json()["stages"]} == made
    assert "result was there" in page

    def rendering(*_: object) -> str:
        raise AssertionError("a page was rendered")

    monkeypatch.setattr("flows.reporting.page.rendered", rendering)
    time.sleep(1.1 - time.time() % 1.0)  # ids of runs sort by the second
    third = run_request(released.summary.request, settings)
    folder = Path(third.report).parent
    assert folder != after
    assert (folder / "report.html").read_text(encoding="utf-8") == page
    assert json.loads((folder / "summary.json").read_text())["run"] == third.run
    monkeypatch.setattr("flows.report.page_code", lambda: "another")
    with pytest.raises(AssertionError, match="a page was rendered"):
        write_report(third, settings.open_store(), folder.with_name("other"), earlier=folder)


def ids_of(summary: RunSummary, store: Store, logs: Path) -> set[str]:
    """Return every student's id, as the source has it and as the store has it."""
    raw = pl.read_parquet(logs)["student"].cast(pl.String).unique()
    kept = pl.read_parquet(store.folder(summary.outcome.logs) / "students.parquet")["student"].cast(pl.String)
    return {*raw, *kept}


def test_no_student_stands_in_a_report_or_a_card(released: Released, released_essays: Released) -> None:
    for made in (released, released_essays):
        store, folder = made.settings.open_store(), Path(made.summary.report).parent
        ids = ids_of(made.summary, store, made.logs)
        assert len(ids) > 100
        release = store.folder(made.summary.outcome.release)
        words = set()
        for path in [*(folder / name for name in WRITTEN), release / "card.md", release / "card.html"]:
            text = path.read_text(encoding="utf-8")
            assert len(text) > 500
            words |= set(re.findall(r"[\w-]{6,}", text))
        assert ids & words == set()
    texts = pl.read_parquet(released_essays.logs)["text"].unique()
    page = (Path(released_essays.summary.report)).read_text(encoding="utf-8")
    assert [text for text in texts if text[:40] in page] == []


def test_the_report_shows_the_release_card_and_the_bundle_has_it_as_a_page(released: Released) -> None:
    release = released.settings.open_store().folder(released.summary.outcome.release)
    card = (release / "card.md").read_text(encoding="utf-8")
    assert "## By group" in card
    page = Path(released.summary.report).read_text(encoding="utf-8")
    own = (release / "card.html").read_text(encoding="utf-8")
    for heading in re.findall(r"^## (.+)$", card, re.MULTILINE):
        assert f"<h3>{heading}</h3>" in page
        assert f"<h2>{heading}</h2>" in own
