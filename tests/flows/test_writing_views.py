"""What a run of a grading application says of its figures: command line, page and model card, also in poor cases."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from jinja2 import Environment, StrictUndefined

from components.app import load_application
from components.store import Store
from components.writing.card import FIGURES
from components.writing.evaluate.baselines import baselines_of
from components.writing.evaluate.config import WritingEvaluateConfig
from components.writing.evaluate.dataset import read_split
from components.writing.evaluate.predict import Predictions
from components.writing.evaluate.reporting import report_of
from components.writing.evaluate.rows import Predicted
from flows.reporting.contents import Contents
from flows.reporting.figures import Gallery
from flows.reporting.page import rendered
from flows.views import writing
from flows.views.metrics import by_name
from tests.components.writing.evaluate.made_up import Responses, simulated, write_dataset

MINUS = "\N{MINUS SIGN}"
CONFIG = WritingEvaluateConfig(resamples=40, confidence=0.9)
GROUPS: dict[str, Any] = {
    "verdict": "fail",
    "reasons": ["gender: dsm is -0.210 for 'f'"],
    "measures": {"qwk": "kappa", "dsm": "difference"},
    "attributes": {
        "gender": {
            "groups": [
                {
                    "group": "f",
                    "students": 40,
                    "scored": 41,
                    "measures": {"qwk": {"status": "ok", "value": 0.7, "low": 0.6, "high": 0.8}},
                }
            ],
            "too_few": 1,
            "gaps": {"qwk": {"status": "not_estimable", "groups": 1}},
            "departures": {
                "dsm": {
                    "status": "ok",
                    "limit": 0.1,
                    "of": [{"group": "f", "value": -0.21, "low": -0.3, "high": -0.12, "told_apart": True}],
                }
            },
            "explained": {
                "osa": {"meaning": "overall score accuracy", "r2": 0.02, "p": 0.001},
                "csd": {"meaning": "conditional score difference", "r2": None, "p": None},
            },
        }
    },
}


def report(folder: Path, *, poor: bool = False) -> dict[str, Any]:
    """Return `metrics.json` of a made-up evaluation; a poor one has no second rater, a tiny prompt, and abstains."""
    test, truth = simulated(300, 2)
    for p in range(3):  # as well centred as a fitted model
        truth[test.prompt == p] += np.mean((test.score - truth)[test.prompt == p])
    if poor:
        rows = np.sort(np.concatenate([np.flatnonzero(test.prompt != 2), np.flatnonzero(test.prompt == 2)[:5]]))
        test = Responses(
            prompt=test.prompt[rows],
            score=np.where(test.prompt[rows] == 0, 2.0, test.score[rows]),
            abstained=["gibberish" if at % 20 == 0 else None for at in range(len(rows))],
        )
        truth = np.full(len(rows), 2.2)
    store = Store(folder / "store")
    data = {"train": simulated(300, 1)[0], "test": test}
    if poor:
        data["train"] = dataclasses.replace(data["train"], raters={}, features=None, traits=None)
    made = store.folder(write_dataset(store, folder / "d", data, features=() if poor else ("log_words", "noise")))
    train, split = read_split(made, "train"), read_split(made, "test")
    found = Predictions(
        score=Predicted(raw=truth, low=None if poor else truth - 0.5, high=None if poor else truth + 0.5),
        traits=None if poor else split.traits,
    )
    baselines = baselines_of(train, split)
    made_report = report_of(split, found, ("style",), baselines, CONFIG, protocol="scored_writing")
    plain: dict[str, Any] = json.loads(json.dumps(made_report.to_json(CONFIG), allow_nan=False))
    return plain


def summary_of(scores: dict[str, Any]) -> dict[str, Any]:
    return {
        "run": "r1",
        "request": {"application": "essay_grading", "config": "small"},
        "seconds": 1.0,
        "stages": [],
        "data": {
            "rows": 600,
            "students": 599,
            "prompts": 3,
            "raters": 2,
            "traits": ["style"],
            "layout": "fake",
            "protocol": "scored_writing",
            "quarantined": 4,
        },
        "metrics": by_name(
            {n: v for n, v in scores["metrics"].items() if v is not None}, scores["intervals"], writing.HEADLINE
        ),
        "confidence": scores["bootstrap"]["confidence"],
        **writing.figures(scores),
        "parity": {"max_abs_error": 1e-7, "int8": None},
        "release": {"version": "v1", "promoted": True, "reason": "nothing serves yet"},
    }


def page_of(scores: dict[str, Any]) -> str:
    kind = load_application("essay_grading").kind
    contents = Contents(
        summary=summary_of(scores),
        metrics=scores,
        groups=GROUPS,
        ingest={},
        leakage=None,
        lineage=(),
        card="",
        kind=kind.name,
        title=kind.title,
        unit=kind.unit,
        headline=kind.headline,
    )
    gallery = Gallery()
    page = rendered(contents, gallery)
    assert gallery.problems == []
    return " ".join(page.split())


def card_of(scores: dict[str, Any]) -> str:
    figures = Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True).from_string(FIGURES)
    return figures.render(
        metrics={n: v for n, v in scores["metrics"].items() if v is not None},
        intervals={n: ends for n, ends in scores["intervals"].items() if ends},
        students=scores["counts"]["students"],
        scored=scores["counts"]["scored"],
        protocol="scored_writing",
        data=SimpleNamespace(responses={"train": 300}, students={"train": 299}, overrides=0),
        error=1e-7,
        verdict="pass",
        reasons=(),
        scores=scores,
    )


def test_the_command_line_has_metrics_humans_baselines_and_every_prompt(tmp_path: Path) -> None:
    scores = report(tmp_path)
    shown = list(writing.lines(summary_of(scores)))
    assert shown[0] == (
        "600 responses of 599 students to 3 prompts (fake, protocol scored_writing), 4 rows quarantined"
    )
    assert shown[1].startswith(f"  qwk        {scores['metrics']['qwk']:.4f}  (90 % interval ")
    humans = scores["humans"]["metrics"]
    assert (
        f"  qwk of two raters {humans['qwk']:.4f}, of the model on the same responses {humans['model_qwk']:.4f}"
        in shown
    )
    assert "  qwk of constant for comparison: 0.0000" in shown
    for prompt in scores["prompts"]:
        line = next(text for text in shown if text.startswith(f"  prompt {prompt['prompt']}: "))
        assert f"qwk {prompt['metrics']['qwk']:.3f} (two raters {prompt['humans']['metrics']['qwk']:.3f})" in line
    assert f"  {scores['comparison']['sentence']}" in shown


def test_the_command_line_says_what_is_poor_and_shows_no_number_for_it(tmp_path: Path) -> None:
    scores = report(tmp_path, poor=True)
    shown = list(writing.lines(summary_of(scores)))
    text = "\n".join(shown)
    assert "two raters" not in text
    assert "  prompt 1: qwk not estimable, " in text
    assert "  prompt 3: too few responses, " in text
    assert f"  abstained from {scores['abstained']['share']:.1%} of the responses: gibberish " in text
    assert "  warning: The model is not shown to be better than the training mean" in text
    assert "  limit crossed: qwk is 0.0000, the limit is at least 0.7" in text


def test_many_prompts_are_shortened(tmp_path: Path) -> None:
    scores = report(tmp_path)
    scores["prompts"] = scores["prompts"] * 10
    shown = list(writing.lines(summary_of(scores)))
    assert sum(line.startswith("  prompt ") for line in shown) == writing.SHOWN
    assert f"  and {30 - writing.SHOWN} more prompts, in the report" in shown


def test_the_page_has_all_figures_by_prompt_with_intervals_and_groups(tmp_path: Path) -> None:
    scores = report(tmp_path)
    page = page_of(scores)
    for prompt in scores["prompts"]:
        for name in ("qwk", "exact", "adjacent", "pearson", "rmse", "smd", "coverage", "width"):
            low, high = prompt["intervals"][name]
            value = prompt["metrics"][name]
            cell = f'<td class="n">{value:.4f}<br><small>{low:.4f} to {high:.4f}</small></td>'
            assert cell.replace("-", MINUS) in page
        assert f"{prompt['prmse']['metrics']['prmse']:.4f}" in page
    assert "Small figures: 90 % intervals" in page
    assert "Limits: QWK at least 0.70; drop against two raters at most 0.10; SMD of a prompt at most" in page
    mean = next(part for part in page.split("<tr>") if part.startswith('<th scope="row">mean</th>'))
    assert f"{scores['metrics']['qwk']:.4f}" in mean
    assert f"{scores['humans']['metrics']['qwk']:.4f}" in mean
    assert "The exported model (ONNX) differs from the trained one by at most 1.0e-07 in points of the rubric." in page
    assert "probability" not in page
    assert "<summary>Traits of prompt letter</summary>" in page
    assert '<th scope="row">style</th>' in page
    assert f"DSM of each group, farthest from 0 first (limit 0.1 either way): f {MINUS}0.210" in page
    assert "Overall score accuracy: 0.020 (p = 0.001)" in page
    assert "Conditional score difference: not estimable" in page
    assert scores["comparison"]["sentence"] in page
    assert "Better than the baselines." in page
    assert "Outside its limits." not in page


def test_the_page_of_a_poor_model_says_so(tmp_path: Path) -> None:
    scores = report(tmp_path, poor=True)
    page = page_of(scores)
    assert "Outside its limits." in page
    assert "<li>qwk is 0.0000, the limit is at least 0.7</li>" in page
    assert '<td colspan="10" class="words">too few responses</td>' in page
    assert "not estimable" in page
    assert "nothing says how well two humans would agree" in page
    assert "gibberish" in page
    for line in scores["warnings"]:
        assert line in page.replace("&#39;", "'")


def test_a_prompt_that_is_markup_is_escaped(tmp_path: Path) -> None:
    scores = report(tmp_path)
    scores["prompts"][0]["prompt"] = "<script>alert(1)</script>"
    assert "<script>" not in page_of(scores)


def test_the_card_has_a_row_for_each_prompt_and_says_the_limits(tmp_path: Path) -> None:
    scores = report(tmp_path)
    card = card_of(scores)
    assert "| figure | value | 90 % interval |" in card
    rows = [line for line in card.splitlines() if line.startswith("| letter |")]
    prompt = next(p for p in scores["prompts"] if p["prompt"] == "letter")
    assert len(rows) == 1
    cells = [cell.strip() for cell in rows[0].strip("|").split("|")]
    assert cells[:3] == ["letter", "2 to 12", str(prompt["counts"]["scored"])]
    assert cells[3:9] == [
        f"{value:.3f}"
        for value in (
            prompt["metrics"]["qwk"],
            prompt["humans"]["metrics"]["qwk"],
            *(prompt["metrics"][name] for name in ("exact", "adjacent", "pearson", "smd")),
        )
    ]
    assert cells[9] == f"{prompt['prmse']['metrics']['prmse']:.3f}"
    table = [line for line in card.splitlines() if line.startswith("|")][-5:]
    assert {line.count("|") for line in table} == {11}  # a header, a rule and three prompts, ten columns each
    assert "Inside the limits that it was accepted by." in card
    assert scores["comparison"]["sentence"] in card


def test_the_card_of_a_poor_model_hides_nothing(tmp_path: Path) -> None:
    scores = report(tmp_path, poor=True)
    card = card_of(scores)
    assert "Outside its limits: qwk is 0.0000" in card
    assert "No prompt has enough responses with two ratings" in card
    assert "| too few | | | | | | |" in card
    table = [line for line in card.splitlines() if line.startswith("|")][-5:]
    assert {line.count("|") for line in table} == {11}
    assert "Abstained:" in card


@pytest.mark.parametrize("poor", [False, True])
def test_no_response_or_student_is_named(poor: bool, tmp_path: Path) -> None:
    scores = report(tmp_path, poor=poor)
    shown = page_of(scores) + card_of(scores) + "\n".join(writing.lines(summary_of(scores))) + json.dumps(scores)
    assert "te0000" not in shown
    assert "tes0000" not in shown
