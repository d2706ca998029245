"""Raters: a row per rater becomes one row, and the score that counts is resolved as configured."""

from pathlib import Path

import pytest

from components.writing.ingest.config import Resolution, Rubric, WritingIngestConfig, WritingMapping
from tests.components.writing.ingest.running import ANY, Outcome, ingest_files

HEAD = "response,prompt,text,rater,score,trait_ideas\n"
BY_RATER = HEAD + (
    "1,p,one,Ms A,3,1\n"
    "2,p,two,Mr B,4,2\n"
    "1,p,one,Mr B,4,3\n"
    "2,p,two,Ms A,4,\n"
    "3,p,three,Ms C,1,0\n"
    "1,p,one,Ms C,4,\n"
)  # fmt: skip
RUBRIC = {"p": Rubric(low=0, high=12)}


def scores(outcome: Outcome) -> dict[str, float]:
    return dict(outcome.responses.select("text", "score").iter_rows())


def test_rows_of_one_response_by_several_raters_are_one_row(tmp_path: Path) -> None:
    outcome = ingest_files(tmp_path, {"a.csv": BY_RATER}, WritingIngestConfig(prompts=RUBRIC))
    columns = ("row", "text", "rater_1", "rater_2", "rater_3", "score", "trait_ideas")
    assert outcome.by_row.select(columns).rows() == [
        (1, "one", 3, 4, 4, 4, 2.0),  # 11 / 3 is nearest to 4
        (2, "two", 4, 4, None, 4, 2.0),
        (5, "three", 1, None, None, 1, 0.0),
    ]
    report = outcome.report
    assert (report["rows_in"], report["rows_kept"], report["rows_merged"], report["rows_quarantined"]) == (6, 3, 3, 0)
    assert outcome.writing.raters == 3
    assert "Ms A" not in str(outcome.responses.to_dicts())


@pytest.mark.parametrize(
    ("how", "one", "two"),
    [("rounded_mean", 4.0, 4.0), ("sum", 11.0, 8.0), ("first", 3.0, 4.0)],
)
def test_the_score_that_counts_is_resolved_as_configured(
    tmp_path: Path, how: Resolution, one: float, two: float
) -> None:
    outcome = ingest_files(tmp_path, {"a.csv": BY_RATER}, WritingIngestConfig(prompts=RUBRIC, resolve=how))
    assert scores(outcome) == {"one": one, "two": two, "three": 1.0}


def test_a_mean_without_rounding_keeps_its_decimals(tmp_path: Path) -> None:
    body = "prompt,text,rater_1,rater_2\np,one,1,2\np,two,3,3\n"
    outcome = ingest_files(tmp_path, {"a.csv": body}, WritingIngestConfig(resolve="mean"))
    assert scores(outcome) == {"one": 1.5, "two": 3.0}
    assert outcome.prompts["p"]["step"] == 0.5


@pytest.mark.parametrize(
    ("first", "second", "low", "step", "expected"),
    [(1, 2, 0, 1, 2), (2, 3, 0, 1, 3), (1, 2, 1, 1, 2), (1, 1.5, 0, 0.5, 1.5), (-2, -1, -3, 1, -1), (1, 4, 1, 3, 4)],
)
def test_halves_are_rounded_up_to_a_score_of_the_rubric(
    tmp_path: Path, first: float, second: float, low: float, step: float, expected: float
) -> None:
    config = WritingIngestConfig(prompts={"p": Rubric(low=low, high=low + 6 * step, step=step)})
    outcome = ingest_files(tmp_path, {"a.csv": f"prompt,text,rater_1,rater_2\np,x,{first},{second}\n"}, config)
    assert scores(outcome) == {"x": expected}


def test_a_score_of_the_source_stands_above_the_raters(tmp_path: Path) -> None:
    body = "prompt,text,rater_1,rater_2,score\np,one,1,3,3\np,two,1,,1\n"
    assert scores(ingest_files(tmp_path, {"a.csv": body})) == {"one": 3, "two": 1}


@pytest.mark.parametrize(
    "row",
    ["1,p,another text,Mr B,4,1", "1,q,one,Mr B,4,1", "1,p,one,Ms A,4,1"],
)
def test_rows_that_contradict_each_other_are_set_apart_whole(tmp_path: Path, row: str) -> None:
    outcome = ingest_files(tmp_path, {"a.csv": HEAD + "1,p,one,Ms A,3,1\n2,p,two,Ms A,3,1\n" + row + "\n"}, ANY)
    assert outcome.faults == [(1, None, "rows_of_one_response_disagree"), (3, None, "rows_of_one_response_disagree")]
    assert outcome.texts == ["two"]


def test_a_row_of_a_rater_delivered_twice_is_a_duplicate(tmp_path: Path) -> None:
    outcome = ingest_files(tmp_path, {"a.csv": BY_RATER + "1,p,one,Ms A,3,1\n"}, WritingIngestConfig(prompts=RUBRIC))
    assert outcome.faults == [(7, None, "duplicate_row")]
    assert outcome.writing.rows == 3


def test_a_resolved_score_outside_the_rubric_is_set_apart_once(tmp_path: Path) -> None:
    config = WritingIngestConfig(prompts={"p": Rubric(low=0, high=10)}, resolve="sum", quarantine_limit=1.0)
    outcome = ingest_files(tmp_path, {"a.csv": BY_RATER}, config)
    assert outcome.faults == [(1, "score", "score_outside_rubric")]
    report = outcome.report
    assert report["rows_in"] == report["rows_kept"] + report["rows_quarantined"] + report["rows_merged"] == 6


def test_a_mapping_names_the_rater(tmp_path: Path) -> None:
    mapping = WritingMapping(response="Nr", text="Text", score="Note", rater="Wer")
    body = "Nr,Text,Wer,Note\n1,eins,A,1\n1,eins,B,2\n"
    outcome = ingest_files(tmp_path, {"a.csv": body}, WritingIngestConfig(mapping=mapping))
    assert outcome.by_row.select("prompt", "rater_1", "rater_2", "score").rows() == [("1", 1.0, 2.0, 2.0)]
