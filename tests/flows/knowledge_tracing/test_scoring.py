"""Batch scoring against the service: the same histories, one request each, must give the same answers."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from components.app import answer_requests
from components.schema import INTERACTION_COLUMNS, INTERACTIONS, SKILL_SETS
from flows.knowledge_tracing import scoring
from flows.knowledge_tracing.scoring import score_steps
from serving.bundle import Bundle, load_bundle
from tests.conftest import Released
from tests.serving.bundles import TRACING_CODEC, TRACING_VOCABULARY, sigmoid, write_bundle

ITEMS = ("i1", "i2", "i3", "an item of later", None)
SETS = ((), ("add",), ("mul", "sub"), ("add", "mul", "sub"), ("add", "a skill of later"), ("a skill of later",))
LENGTHS = (1, 4, 5, 6, 7, 23, 2, 40)


def bundle_with(folder: Path, max_len_steps: int, **vocabulary: Any) -> Bundle:
    write_bundle(folder, vocabulary={**TRACING_VOCABULARY, "max_len_steps": max_len_steps, **vocabulary})
    return load_bundle(folder)


def interactions_of(columns: dict[str, Sequence[Any]]) -> pl.DataFrame:
    """Return a table in the schema; columns that are not given are null."""
    height = len(columns["student"])
    return pl.DataFrame(
        {
            c.name: pl.Series(columns.get(c.name, [None] * height), dtype=getattr(pl, c.dtype))
            for c in INTERACTION_COLUMNS
        }
    )


def made_up(seed: int, lengths: Sequence[int] = LENGTHS) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return random interactions with known, new and no items, and skill sets out of order."""
    source = np.random.default_rng(seed)
    count = sum(lengths)
    scored = source.random(count) < 0.3  # only a score is known
    right, score = source.integers(0, 2, count), source.random(count).astype(np.float32)
    table = interactions_of(
        {
            "student": [f"{i:032x}" for i, n in enumerate(lengths) for _ in range(n)],
            "position": [p for n in lengths for p in range(n)],
            "item": [ITEMS[i] for i in source.choice(len(ITEMS), count, p=[0.3, 0.3, 0.25, 0.05, 0.1])],
            "skill_set": source.choice(len(SETS), count, p=[0.1, 0.3, 0.25, 0.25, 0.05, 0.05]).tolist(),
            "correct": [None if s else int(r) for s, r in zip(scored, right, strict=True)],
            "score": [float(x) if s else None for s, x in zip(scored, score, strict=True)],
            "file": [0] * count,
            "row": list(range(1, count + 1)),
        }
    )
    order = source.permutation(len(SETS))
    sets = pl.DataFrame(
        {"skill_set": order.tolist(), "skills": [list(SETS[i]) for i in order]},
        schema={"skill_set": pl.UInt32, "skills": pl.List(pl.String)},
    )
    return table, sets


def requests_of(table: pl.DataFrame, sets: pl.DataFrame) -> list[dict[str, Any]]:
    """Return each row as a client would ask: the whole history of the student, then the row as the one candidate."""
    skills = dict(sets.iter_rows())
    requests: list[dict[str, Any]] = []
    history: list[dict[str, Any]] = []
    for row in table.iter_rows(named=True):
        if row["position"] == 0:
            history = []
        asked = {"item": row["item"], "skills": skills[row["skill_set"]]}
        requests.append({"history": list(history), "candidates": [asked]})
        history.append({**asked, "correct": float(row["score"] if row["correct"] is None else row["correct"])})
    return requests


def scored(
    bundle: Bundle, table: pl.DataFrame, sets: pl.DataFrame, which: Literal["all", "last"] = "all"
) -> pl.DataFrame:
    codec: Any = bundle.codec  # the bundle's own class
    return score_steps(table, sets, codec, bundle.session.run, which)


def asked_one_by_one(bundle: Bundle, table: pl.DataFrame, sets: pl.DataFrame) -> pl.DataFrame:
    """Return what the service answers, in the columns of `score_steps`."""
    rows = []
    for request in requests_of(table, sets):
        answer = bundle.answer([bundle.requests.read_plain(request)])[0]
        prediction = answer.predictions[0]
        rows.append(
            {
                "probability": prediction.probability,
                "flags": ";".join(prediction.flags),
                "history_shortened": "history_shortened" in answer.flags,
                "new_in_history": "new_in_history" in answer.flags,
            }
        )
    return pl.concat([table.select("student", "position", "item", "file", "row"), pl.DataFrame(rows)], how="horizontal")


def assert_same(found: pl.DataFrame, expected: pl.DataFrame) -> None:
    assert found.columns == expected.columns
    assert found.drop("probability").equals(expected.drop("probability"))
    assert np.abs(found["probability"].to_numpy() - expected["probability"].to_numpy()).max() <= 1e-6


@pytest.mark.parametrize("max_len_steps", [1, 2, 5, 40, 200])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_step_is_answered_as_the_service_answers_it(max_len_steps: int, seed: int, tmp_path: Path) -> None:
    bundle = bundle_with(tmp_path / "b", max_len_steps)
    table, sets = made_up(seed)
    expected = asked_one_by_one(bundle, table, sets)
    found = scored(bundle, table, sets)
    assert_same(found, expected)
    last = scored(bundle, table, sets, "last")
    assert_same(last, expected.group_by("student", maintain_order=True).last())
    # the made-up logs show what they are for
    seen = {flag for flags in expected["flags"] for flag in flags.split(";")}
    assert seen == {"", "new_item", "new_skill", "no_known_part"}
    assert expected["history_shortened"].any() == (max_len_steps < max(LENGTHS))
    assert expected["new_in_history"].any() == (max_len_steps > 1)


def test_an_answer_worked_out_by_hand(tmp_path: Path) -> None:
    """The test model: 0.5 per right and -0.5 per wrong step of the window, + 0.1 skill index - 0.05 item index."""
    bundle = bundle_with(tmp_path / "b", 3)
    table = interactions_of(
        {
            "student": ["s"] * 5,
            "position": range(5),
            "item": ["i1", "i1", "i2", "new", "i2"],
            "skill_set": [0, 0, 0, 0, 0],
            "correct": [1, 1, 1, 0, 1],
            "file": [0] * 5,
            "row": range(1, 6),
        }
    )
    sets = pl.DataFrame({"skill_set": [0], "skills": [["mul"]]}, schema_overrides={"skill_set": pl.UInt32})
    found = scored(bundle, table, sets, "all")
    # index of mul is 3, of i1 2, of i2 3, of a new item 1; two steps before are read
    logits = [0.3 - 0.1, 0.5 + 0.3 - 0.1, 1.0 + 0.3 - 0.15, 1.0 + 0.3 - 0.05, 0.0 + 0.3 - 0.15]
    assert found["probability"].to_list() == pytest.approx([sigmoid(x) for x in logits], abs=1e-6)
    assert found["flags"].to_list() == ["", "", "", "new_item", ""]
    assert found["history_shortened"].to_list() == [False, False, False, True, True]
    assert found["new_in_history"].to_list() == [False, False, False, False, True]


def test_a_new_step_that_is_no_longer_read_flags_nothing(tmp_path: Path) -> None:
    bundle = bundle_with(tmp_path / "b", 3)
    table, sets = made_up(0, [6])
    skills, items = [1] * 6, ["new", *["i1"] * 5]
    table = table.with_columns(pl.Series("skill_set", skills, pl.UInt32), pl.Series("item", items))
    found = scored(bundle, table, sets, "all")
    assert found["new_in_history"].to_list() == [False, True, True, False, False, False]


def test_small_batches_give_the_same_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = bundle_with(tmp_path / "b", 5)
    table, sets = made_up(2)
    whole = scored(bundle, table, sets, "all")
    shapes = []
    codec: Any = bundle.codec

    def noted(inputs: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        shapes.append(inputs["items"].shape)
        return bundle.session.run(inputs)

    monkeypatch.setattr(scoring, "BATCH_STEPS", 12)
    monkeypatch.setattr(scoring, "CANDIDATES", 2)
    assert_same(score_steps(table, sets, codec, noted, "all"), whole)
    assert len(shapes) > 10
    assert max(b * t for b, t in shapes) <= 12


@pytest.mark.parametrize("vocabulary", [{"items": []}, {"skills": []}])
def test_releases_that_know_no_items_or_no_skills(vocabulary: dict[str, Any], tmp_path: Path) -> None:
    bundle = bundle_with(tmp_path / "b", 5, **vocabulary)
    for table, sets in (made_up(3), (made_up(4)[0].with_columns(item=pl.lit(None, pl.String)), made_up(4)[1])):
        found = scored(bundle, table, sets, "all")
        assert_same(found, asked_one_by_one(bundle, table, sets))


def test_no_rows_give_no_answers(tmp_path: Path) -> None:
    bundle = bundle_with(tmp_path / "b", 5)
    table, sets = made_up(5)
    which: Literal["all", "last"]
    for which in ("all", "last"):
        found = scored(bundle, table.clear(), sets, which)
        assert found.height == 0
        assert found.schema == scored(bundle, table, sets, which).schema


def test_an_older_release_is_read_with_its_own_codec(tmp_path: Path) -> None:
    """Other private names, other indices and other flags than the working tree's."""
    text = TRACING_CODEC.read_text(encoding="utf-8")
    for now, then in (
        ("_skill_index", "_by_name"),
        ("_item_index", "_by_id"),
        ("UNKNOWN", "STRANGE"),
        ("STRANGE = 1", "STRANGE = 4"),
        ("FIRST = 2", "FIRST = 7"),
        ('"no_known_part"', '"nothing_known"'),
        ("MAX_CANDIDATES", "MOST"),
    ):
        assert now in text
        text = text.replace(now, then)
    older = tmp_path / "older" / "codec.py"
    older.parent.mkdir()
    older.write_text(text, encoding="utf-8")
    write_bundle(tmp_path / "b", codec_file=older, vocabulary={**TRACING_VOCABULARY, "max_len_steps": 5})
    bundle = load_bundle(tmp_path / "b")
    table, sets = made_up(6)
    expected = asked_one_by_one(bundle, table, sets)
    found = scored(bundle, table, sets)
    assert_same(found, expected)
    assert any("nothing_known" in flags for flags in found["flags"])
    current = bundle_with(tmp_path / "c", 5)
    gap = asked_one_by_one(current, table, sets)["probability"] - expected["probability"]
    assert gap.abs().max() > 0.05  # type: ignore[operator]  # polars types max() broadly


@pytest.mark.slow
@pytest.mark.parametrize("max_len_steps", [4, 17])
def test_a_trained_model_answers_whole_logs_as_it_answers_requests(max_len_steps: int, released: Released) -> None:
    store = released.settings.open_store()
    folder = store.folder(released.summary.outcome.logs)
    table = pl.read_parquet(folder / INTERACTIONS)
    table = table.filter(pl.col("student").is_in(table["student"].unique(maintain_order=True)[:12].implode()))
    table = table.with_columns(  # items that training did not see, some of them in the middle of histories
        item=pl.when(pl.int_range(pl.len()) % 11 == 5).then(pl.lit("an item of later")).otherwise("item")
    )
    sets = pl.read_parquet(folder / SKILL_SETS)
    bundle = load_bundle(store.folder(released.summary.outcome.release))
    codec: Any = type(bundle.codec).from_json({**bundle.codec.to_json(), "max_len_steps": max_len_steps})
    found = score_steps(table, sets, codec, bundle.session.run, "all")
    requests = [bundle.requests.read_plain(r) for r in requests_of(table, sets)]
    answers = [answer_requests(codec, bundle.session.run, [request])[0] for request in requests]
    expected = np.array([answer.predictions[0].probability for answer in answers])
    assert table.group_by("student").len()["len"].min() > max_len_steps  # type: ignore[operator]  # polars types min() broadly
    assert np.abs(found["probability"].to_numpy() - expected).max() <= 1e-6
    assert found["flags"].to_list() == [";".join(a.predictions[0].flags) for a in answers]
    assert found["new_in_history"].to_list() == ["new_in_history" in a.flags for a in answers]
    assert json.dumps(sorted(set(found["flags"]))) == '["", "new_item"]'
