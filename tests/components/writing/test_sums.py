"""Sums of resampled rows against literally repeated rows, and how fast they are."""

import time

import numpy as np
import pytest

from components.evaluate.bootstrap import resampled_students
from components.writing import sums
from components.writing.sums import cell_sums, drawn_sums, students_in, whole_sums


def test_cells_are_summed_apart_and_an_empty_cell_is_zero() -> None:
    values = np.array([[1.0, 10], [2, 20], [3, 30], [4, 40]])
    cell = np.array([2, 0, 2, 0])
    assert whole_sums(values, cell, 4).tolist() == [[6, 60], [0, 0], [4, 40], [0, 0]]
    twice = cell_sums(values, cell, 4, np.array([[2, 0, 1, 1]]))
    assert twice[0].tolist() == [[4, 40], [0, 0], [5, 50], [0, 0]]


@pytest.mark.parametrize("at_once", [10, 4_000_000])
def test_drawn_sums_are_those_of_literally_repeated_rows(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sums, "WEIGHTS_AT_ONCE", at_once)
    source = np.random.default_rng(0)
    values, cell = source.normal(size=(60, 3)), source.integers(0, 4, 60)
    student = np.concatenate([np.arange(12), source.integers(0, 12, 48)])
    found = drawn_sums(values, cell, 4, student, students=12, resamples=25, seed=3)
    for r, counts in enumerate(resampled_students(12, 25, 3)):
        rows = np.concatenate([np.repeat(np.flatnonzero(student == s), times) for s, times in enumerate(counts)])
        expected = [values[rows][cell[rows] == c].sum(axis=0) for c in range(4)]
        assert found[r] == pytest.approx(np.array(expected), abs=1e-12)


def test_students_are_counted_once_in_each_cell() -> None:
    cell, student = np.array([0, 0, 0, 2, 2]), np.array([5, 5, 1, 5, 3])
    assert students_in(cell, 4, student).tolist() == [2, 0, 2, 0]


def test_two_hundred_resamples_of_fifty_columns_take_well_under_a_second() -> None:
    source = np.random.default_rng(1)
    values, cell = source.normal(size=(2_600, 50)), source.integers(0, 8, 2_600)
    clock = time.process_time()
    drawn_sums(values, cell, 8, np.arange(2_600), students=2_600, resamples=200, seed=0)
    assert time.process_time() - clock < 1.0
