"""Requests from logs: where a release maps answers by group, each has its own student's group, as in a service."""

from pathlib import Path

import polars as pl
import pytest

from components.errors import ConfigError
from components.schema import INTERACTIONS, PREDICTIONS, SKILL_SETS, STUDENTS
from flows.knowledge_tracing.codec import Codec, Request, RequestWithGroup
from flows.knowledge_tracing.requests import held_out_requests
from tests.flows.knowledge_tracing.test_scoring import made_up

GROUPS = ("m", "f", "of later", None, "f")
"""Of the five students; `of later` has no map of its own."""
PLAIN = Codec(items=("i1", "i2"), skills=("add",), max_skills=3, max_len_steps=4)


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    table, sets = made_up(5, (4, 3, 6, 2, 5))
    table.write_parquet(tmp_path / INTERACTIONS)
    sets.write_parquet(tmp_path / SKILL_SETS)
    table.select("student", "position", scored=pl.col("position") > 0).write_parquet(tmp_path / PREDICTIONS)
    students = pl.DataFrame({"student": table["student"].unique().sort(), "sex": GROUPS})
    students.write_parquet(tmp_path / STUDENTS)
    return tmp_path


def test_each_request_has_its_own_students_group_and_takes_that_groups_map(logs: Path) -> None:
    codec = PLAIN.with_groups("sex", ["f", "m"])
    found = held_out_requests(logs, logs, codec, 1_000, 0)
    assert len(found) == 3 + 2 + 5 + 1 + 4  # all but each student's first
    expected = dict(zip((f"{i:032x}" for i in range(5)), GROUPS, strict=True))
    assert [one.group for _, one in found] == [expected[student] for student, _ in found]
    assert all(type(one) is RequestWithGroup for _, one in found)
    index = {"f": 1, "m": 2}
    for student, one in found:
        assert codec.encode(one)[0].group == index.get(expected[student] or "", 0)
    few = held_out_requests(logs, logs, codec, 3, 1)
    assert [one.group for _, one in few] == [expected[student] for student, _ in few]


def test_without_groups_nobody_is_asked_for_one(logs: Path) -> None:
    (logs / STUDENTS).unlink()  # nor is it read
    found = held_out_requests(logs, logs, PLAIN, 1_000, 0)
    assert len(found) == 15
    assert all(type(one) is Request for _, one in found)


def test_logs_without_the_attribute_are_refused(logs: Path) -> None:
    codec = PLAIN.with_groups("school", ["north"])
    with pytest.raises(ConfigError, match=r"maps answers by 'school', which the logs do not have.*\['sex'\]"):
        held_out_requests(logs, logs, codec, 10, 0)
