"""Splitting by time: ten answers of three students, by hand."""

from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest

from components.errors import NotEnoughDataError
from components.preprocess.config import PreprocessConfig
from components.preprocess.parts import Divided, divide

TIMES = {"a": [10, 20, 30, 90], "b": [15, 70, 75, 95], "c": [11, 12]}


def divided(times: dict[str, Sequence[int | None]] | None = None, declared: list[str | None] | None = None) -> Divided:
    own = times or TIMES
    rows = [(student, time) for student, found in own.items() for time in found]
    interactions = pl.DataFrame(rows, schema={"student": pl.String, "time_ms": pl.Int64}, orient="row")
    config = PreprocessConfig(split="time", valid_share=0.2, test_share=0.2)
    lengths = np.array([len(found) for found in own.values()], np.int64)
    return divide(interactions, list(own), lengths, declared or [None] * len(own), config)


def test_the_late_answers_are_tested_with_the_history_before_them() -> None:
    # in order: 10 11 12 15 20 30 | 70 75 | 90 95
    found = divided()
    train, valid, test = found.parts
    assert found.begins_ms == (70, 90)
    assert train.rows_N.tolist() == [0, 1, 2, 4, 8, 9]
    assert train.lengths_S.tolist() == [3, 1, 2]
    assert train.scored_N.all()
    # only b answers in validation: its history comes along unscored
    assert valid.rows_N.tolist() == [4, 5, 6]
    assert valid.students_S.tolist() == [1]
    assert valid.scored_N.tolist() == [False, True, True]
    assert test.rows_N.tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert test.lengths_S.tolist() == [4, 4]
    assert test.scored_N.tolist() == [False, False, False, True, False, False, False, True]


def test_answers_of_one_moment_stay_together() -> None:
    found = divided({"a": [1, 2, 3, 4, 5, 6, 7, 8, 9, 9], "b": [9, 9]})
    test = found.parts[2]
    assert found.begins_ms == (8, 9)
    assert test.scored_N.sum() == 4


def test_answers_without_a_time_are_refused() -> None:
    with pytest.raises(NotEnoughDataError, match="1 of 10 answers have no time"):
        divided({**TIMES, "c": [11, None]})


def test_files_named_for_testing_are_refused() -> None:
    with pytest.raises(NotEnoughDataError, match="2 students come from files"):
        divided(declared=["test", None, "valid"])


def test_times_that_are_all_alike_are_refused() -> None:
    with pytest.raises(NotEnoughDataError, match="leaves a split empty"):
        divided({"a": [5, 5, 5], "b": [5, 5]})
