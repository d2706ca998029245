"""Scales of prompts: the configuration's, the layout's, the labels', or the scores seen; and who says so."""

from pathlib import Path

import pytest

from components.writing.ingest.config import Rubric, TraitRange, WritingIngestConfig
from components.writing.ingest.rubrics import step_of
from tests.components.writing.ingest.running import ANY, ingest_files

BODY = "prompt,text,score,trait_t\na,one,2,1\na,two,4,3\nb,three,0.5,\nb,four,2,\nc,five,3,\n"


@pytest.mark.parametrize(
    ("scores", "step"),
    [
        ([], 1.0),
        ([3.0, 7.0], 1.0),
        ([1.0, 2.5], 0.5),
        ([0.25, 1.5], 0.25),
        ([0.3], 0.1),
        ([1.15], 0.05),
        ([2 / 3], 0.01),
    ],
)
def test_the_largest_usual_step_that_fits_is_taken(scores: list[float], step: float) -> None:
    assert step_of(scores) == step


def test_without_a_rubric_the_scores_seen_make_the_scale(tmp_path: Path) -> None:
    outcome = ingest_files(tmp_path, {"a.csv": BODY})
    found = {n: (p["low"], p["high"], p["step"], p["range_from"]) for n, p in outcome.prompts.items()}
    assert found == {"a": (2, 4, 1, "data"), "b": (0.5, 2, 0.5, "data"), "c": (3, 4, 1, "data")}
    assert outcome.prompts["a"]["traits"] == {"t": {"low": 1, "high": 3, "step": 1, "range_from": "data"}}
    assert outcome.prompts["b"]["traits"] == {}
    assert outcome.prompts["b"]["scores_seen"] == [0.5, 2]
    assert any("the scale of 3 prompt(s) is the lowest and highest score seen" in line for line in outcome.said)


def test_a_configured_rubric_is_the_scale_and_brings_the_prompts_text(tmp_path: Path) -> None:
    rubric = Rubric(
        low=0, high=5, text="Describe.", reference_answers=("So.", "Thus."), traits={"t": TraitRange(low=0, high=4)}
    )
    config = WritingIngestConfig(prompts={"a": rubric, "*": Rubric(low=0, high=3, step=0.5)})
    outcome = ingest_files(tmp_path, {"a.csv": BODY}, config)
    a, b = outcome.prompts["a"], outcome.prompts["b"]
    assert (a["low"], a["high"], a["range_from"], a["text"]) == (0, 5, "configuration", "Describe.")
    assert a["reference_answers"] == ["So.", "Thus."]
    assert a["traits"] == {"t": {"low": 0, "high": 4, "step": 1, "range_from": "configuration"}}
    assert (b["low"], b["high"], b["step"], b["range_from"]) == (0, 3, 0.5, "configuration")


def test_only_prompts_with_a_rubric_are_checked(tmp_path: Path) -> None:
    config = WritingIngestConfig(prompts={"a": Rubric(low=0, high=3)}, quarantine_limit=0.5)
    outcome = ingest_files(tmp_path, {"a.csv": BODY}, config)
    assert outcome.faults == [(2, "score", "score_outside_rubric")]


def test_a_prompts_own_rubric_without_a_trait_does_not_take_the_range_of_all_others(tmp_path: Path) -> None:
    every = Rubric(low=0, high=10, traits={"t": TraitRange(low=0, high=2)})
    config = WritingIngestConfig(prompts={"a": Rubric(low=0, high=10), "*": every}, quarantine_limit=1.0)
    body = "prompt,text,score,trait_t\na,one,2,9\nb,two,2,9\nb,three,2,2\n"
    assert ingest_files(tmp_path, {"a.csv": body}, config).faults == [(2, "trait_t", "trait_outside_rubric")]


def test_a_layouts_scale_gives_way_to_the_configurations(tmp_path: Path) -> None:
    body = "Id,EssaySet,Score1,Score2,EssayText\n1,1,3,2,x\n2,3,3,,y\n3,77,9,,z\n"
    outcome = ingest_files(tmp_path / "a", {"a.csv": body}, ANY)
    assert outcome.faults == [(2, "Score1", "score_outside_rubric")]
    assert {n: p["range_from"] for n, p in outcome.prompts.items()} == {"1": "layout", "77": "data"}
    config = WritingIngestConfig(prompts={"3": Rubric(low=0, high=3)})
    outcome = ingest_files(tmp_path / "b", {"a.csv": body}, config)
    assert {n: p["range_from"] for n, p in outcome.prompts.items()} == {
        "1": "layout", "3": "configuration", "77": "data",
    }  # fmt: skip
