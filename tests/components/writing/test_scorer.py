"""Batch scoring against one request at a time, in any batches, with requests that the codec refuses among them."""

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from components.app import answer_requests
from components.writing import scorer
from components.writing.scorer import COLUMNS, request_class, score_writing
from tests.components.writing.grading import LONGEST, Codec, Model, Request


def write(folder: Path, rows: list[tuple[str, str, str]]) -> Path:
    """Write responses of (student, prompt, text), one after the other in file 0."""
    folder.mkdir()
    pl.DataFrame(
        {
            "response": [f"r{at}" for at in range(len(rows))],
            "student": [student for student, _, _ in rows],
            "prompt": [prompt for _, prompt, _ in rows],
            "text": [text for _, _, text in rows],
            "score": [None] * len(rows),
            "file": pl.Series([0] * len(rows), dtype=pl.UInt16),
            "row": pl.Series(range(1, len(rows) + 1), dtype=pl.UInt32),
        },
        schema_overrides={"score": pl.Float64, "text": pl.String, "student": pl.String, "prompt": pl.String},
    ).write_parquet(folder / "responses.parquet")
    return folder


def many(count: int) -> list[tuple[str, str, str]]:
    return [(f"s{at % 7}", "ab"[at % 2], "word " * (at * 5 % 9)) for at in range(count)]


def test_every_response_is_answered_as_one_request_alone_in_the_order_of_the_source(tmp_path: Path) -> None:
    rows, model = many(200), Model()
    found = score_writing(write(tmp_path / "w", rows), Codec(), model)
    assert found.columns == [*COLUMNS, "trait_style"]
    assert {name: found.schema[name] for name in COLUMNS} == COLUMNS
    assert found["response"].to_list() == [f"r{at}" for at in range(200)]
    for row, (student, prompt, text) in zip(found.iter_rows(named=True), rows, strict=True):
        (alone,) = answer_requests(Codec(), Model(), [Request(prompt=prompt, text=text)])
        assert (row["student"], row["prompt"]) == (student, prompt)
        assert (row["score"], row["raw"], row["abstained"]) == (alone.score, alone.raw, alone.abstained)
        assert (row["low"], row["high"]) == (alone.interval or (None, None))
        assert row["trait_style"] == alone.traits.get("style")
    assert max(model.batches) <= scorer.BATCH
    assert len(model.batches) == 4


def test_long_texts_make_small_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorer, "BATCH_CHARACTERS", 90)
    rows, model = many(60), Model()
    folder = write(tmp_path / "w", rows)
    found = score_writing(folder, Codec(), model)
    assert max(model.batches) > min(model.batches)
    monkeypatch.undo()
    assert found.equals(score_writing(folder, Codec(), Model()))


def test_a_refused_request_harms_no_other_and_tells_nothing_of_its_text(tmp_path: Path) -> None:
    rows = [
        ("s", "a", "one two three"),
        ("s", "another", "secret words"),
        ("s", "b", "x" * (LONGEST + 1)),
        ("t", "b", ""),
    ]
    found = score_writing(write(tmp_path / "w", rows), Codec(), Model())
    assert found["abstained"].to_list() == [None, "refused", "refused", "empty"]
    assert found["score"].to_list() == [2.0, None, None, None]
    assert "secret" not in str(found.to_dicts())


def test_a_fault_of_the_model_is_no_refusal(tmp_path: Path) -> None:
    def broken(inputs: Mapping[str, Any]) -> dict[str, Any]:
        raise ValueError("shapes do not match")

    with pytest.raises(ValueError, match="shapes do not match"):
        score_writing(write(tmp_path / "w", many(3)), Codec(), broken)


def test_the_last_is_each_students_latest_row_to_each_prompt(tmp_path: Path) -> None:
    rows = [("s", "a", "one"), ("t", "a", "one"), ("s", "b", "one"), ("s", "a", "one two three"), ("t", "b", "")]
    found = score_writing(write(tmp_path / "w", rows), Codec(), Model(), "last")
    assert found["response"].to_list() == ["r1", "r2", "r3", "r4"]


def test_some_students_alone_are_answered(tmp_path: Path) -> None:
    folder = write(tmp_path / "w", many(30))
    found = score_writing(folder, Codec(), Model(), students=pl.Series(["s3", "s1", "s3", "nobody"]))
    whole = score_writing(folder, Codec(), Model())
    assert found.equals(whole.filter(pl.col("student").is_in(["s1", "s3"])))


def test_no_responses_give_no_answers(tmp_path: Path) -> None:
    found = score_writing(write(tmp_path / "w", []), Codec(), Model())
    assert found.height == 0
    assert found.schema == COLUMNS


def test_the_request_of_a_codec_in_a_package_is_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "released_codec"
    package.mkdir()
    (package / "__init__.py").write_text("from .coding import Codec\nfrom .messages import Request\n")
    (package / "messages.py").write_text("class Request:\n    pass\n")
    (package / "coding.py").write_text("class Codec:\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    released = importlib.import_module("released_codec")
    assert request_class(released.Codec()) is released.Request
    for name in [n for n in sys.modules if n.partition(".")[0] == "released_codec"]:
        monkeypatch.delitem(sys.modules, name)


def test_a_codec_without_a_request_is_said_so() -> None:
    class Bare:
        pass

    Bare.__module__ = "json.decoder"
    with pytest.raises(TypeError, match="The codec Bare has no Request beside it"):
        request_class(Bare())  # type: ignore[arg-type]  # that is the point
