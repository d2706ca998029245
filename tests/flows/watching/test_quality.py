"""Live quality: overrides against scikit-learn, too few, intervals; the next answers likewise."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import cohen_kappa_score, roc_auc_score

from components.app import load_application
from components.artifacts import JsonValue
from components.overrides import Journal, Override
from flows.settings import Settings
from flows.watching.quality import _predicted, live_quality, of_overrides
from serving.monitor_metrics import LAST_WATCH

RELEASE = "essay_grading-0123456789ab"
EVERY = (RELEASE, "essay_grading-000000000000", "essay_grading-000000000001")


def override(number: int, machine: float | None, score: float, **others: Any) -> Override:
    fields = {"release": RELEASE, "prompt": "a", "teacher": f"t{number % 8}", **others}
    return Override(
        id=f"{number:032d}",
        made_utc=f"2026-01-01T00:00:{number % 60:02d}",
        application="essay_grading",
        text=f"text {number}",
        machine_score=machine,
        score=score,
        reason="r",
        **fields,
    )


@pytest.fixture
def corrections() -> list[Override]:
    source = np.random.default_rng(1)
    human = source.integers(1, 7, size=60)
    machine = np.clip(human + source.integers(-1, 2, size=60), 1, 6)
    return [override(n, float(m), float(h)) for n, (m, h) in enumerate(zip(machine, human, strict=True))]


def test_agreement_is_scikit_learns(corrections: list[Override]) -> None:
    found = of_overrides(corrections, lambda version: {"a": (1.0, 1.0)}, EVERY)
    by_name = {one.metric: one for one in found.figures}
    human = np.array([one.score for one in corrections])
    machine = np.array([one.machine_score for one in corrections], float)
    assert by_name["qwk"].value == pytest.approx(cohen_kappa_score(human, machine, weights="quadratic"))
    assert by_name["exact"].value == pytest.approx(np.mean(human == machine))
    assert by_name["bias"].value == pytest.approx(np.mean(human - machine))
    for one in by_name.values():
        assert one.n == 60
        assert one.clusters == 8
        assert one.value is not None
        assert one.low is not None
        assert one.high is not None
        assert one.low < one.value < one.high
    assert "not of all answers" in found.caution


def test_half_points_are_steps_and_the_latest_word_on_a_response_counts() -> None:
    halves = [override(n, 2.0, 2.5) for n in range(12)]
    found = of_overrides(halves, lambda version: {"a": (0.0, 0.5)}, EVERY)
    assert {one.metric: one.value for one in found.figures}["bias"] == 1.0
    again = [*halves, *(override(n + 20, 2.0, 2.0, response=f"r{n}") for n in range(12))]
    twice = [*again, *(override(n + 40, 2.0, 3.0, response=f"r{n}") for n in range(12))]
    (exact,) = (one for one in of_overrides(twice, lambda version: {}, EVERY).figures if one.metric == "exact")
    assert (exact.n, exact.value) == (24, 0.0)


def test_too_few_say_so_and_few_teachers_have_no_interval() -> None:
    few = of_overrides([override(n, 1.0, 2.0) for n in range(9)], lambda version: {}, EVERY)
    assert all(one.value is None for one in few.figures)
    assert "too few, n = 9" in few.lines()[0]
    one_teacher = of_overrides(
        [override(n, float(n % 3), float(n % 2), teacher="t") for n in range(30)], lambda v: {}, EVERY
    )
    assert all(one.value is not None and one.low is None for one in one_teacher.figures)
    assert "too few to give an interval" in one_teacher.lines()[0]


def test_each_release_has_its_own_and_abstentions_have_no_score() -> None:
    own = [override(n, 1.0, 1.0, release=f"essay_grading-{n % 2:012d}") for n in range(40)]
    found = of_overrides([*own, *(override(n + 50, None, 1.0) for n in range(20))], lambda version: {}, EVERY)
    assert {one.release: one.n for one in found.figures} == {
        "essay_grading-" + 12 * "0": 20,
        "essay_grading-000000000001": 20,
    }
    assert [one.value for one in found.figures if one.metric == "qwk"] == [None, None]  # all the same score: undecided


def test_what_a_client_says_an_override_is_of_is_shown_only_where_there_is_such_a_release() -> None:
    made_up = [override(n + 50, 1.0, 2.0, release=f"essay_grading-{n:012x}") for n in range(2, 30)]
    texts = [override(n + 90, 1.0, 2.0, release=name) for n, name in enumerate(("essay", 'x",admin="', RELEASE[:-1]))]
    own = [override(n, 1.0, 2.0) for n in range(12)]
    found = of_overrides([*made_up, *own, *texts], lambda version: {}, EVERY)
    assert {one.release for one in found.figures} == {RELEASE}
    assert {one.n for one in found.figures} == {12}
    assert found.unknown == found.to_json()["unknown"] == 31
    assert "31 overrides are of releases that this store does not know" in "\n".join(found.lines())
    assert "does not know" not in "\n".join(of_overrides(own, lambda version: {}, EVERY).lines())


def test_the_releases_of_the_store_are_the_ones_that_are_shown_and_recorded(tmp_path: Path) -> None:
    settings = Settings(store=str(tmp_path / "store"), overrides=tmp_path / "kept", cache=tmp_path / "cache")
    store = settings.open_store()
    known: dict[str, JsonValue] = {"version": RELEASE, "artifact": "0" * 64}
    store.write_record(f"releases/essay_grading/known/{RELEASE}.json", known)
    with closing(Journal(tmp_path / "kept" / "essay_grading")) as journal:
        for n in range(12):
            journal.append(override(n, 1.0, 2.0))
        journal.append(override(12, 1.0, 2.0, release="essay_grading-ffffffffffff"))
    (tmp_path / "status").mkdir()
    found = live_quality(load_application("essay_grading"), settings, (), tmp_path / "status")
    assert found.unknown == 1
    (path,) = store.list_records("quality/essay_grading")
    for text in (json.dumps(store.read_record(path)), (tmp_path / "status" / LAST_WATCH).read_text()):
        assert RELEASE in text
        assert "ffffffffffff" not in text


def test_next_answers_are_scored_by_student() -> None:
    source = np.random.default_rng(3)
    right = source.random(400) < 0.6
    probability = np.clip(0.5 + 0.2 * (right - 0.5) + source.normal(0, 0.2, 400), 0.01, 0.99)
    table = pl.DataFrame(
        {"student": [f"s{n % 20}" for n in range(400)], "label": right.astype(float), "probability": probability}
    )
    found = {one.metric: one for one in _predicted("r", table)}
    assert found["auc"].value == pytest.approx(roc_auc_score(right, probability))
    assert found["brier"].value == pytest.approx(np.mean((probability - right) ** 2))
    assert found["auc"].clusters == 20
    assert found["auc"].low is not None
    assert found["auc"].value is not None
    assert found["auc"].low < found["auc"].value
    assert all(one.value is None for one in _predicted("r", table[:9]))
    one_class = {one.metric: one for one in _predicted("r", table.with_columns(label=pl.lit(1.0)))}
    assert one_class["auc"].value is None
    assert one_class["log_loss"].value is not None
