"""Which rows repeat a problem, worked out by hand."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from components.evaluate.repeats import repeats_of, rows_without_repeats
from components.evaluate.sequences import Split, read_split


@pytest.fixture
def split(tmp_path: Path, split_writer: Callable[..., None]) -> Split:
    """Two students; the first one's third step opens a new window."""
    items = [[7, 7, 7, 8, 7, 1, 1, 0, 0], [0, 9, 9]]
    steps = [[([2], 1.0) for _ in own] for own in items]
    split_writer(tmp_path / "test", [0, 1], steps, 2, items)
    return read_split(tmp_path, "test")


def test_a_row_repeats_where_the_students_row_before_has_the_same_item(split: Split) -> None:
    first = [
        False,
        True,
        True,
        False,
        False,
        False,
        True,
        False,
        False,
    ]  # two unknown ones count, two without ids do not
    assert repeats_of(split).tolist() == [*first, False, False, True]


def test_only_the_protocol_with_a_row_per_skill_has_rows_to_leave_out(split: Split) -> None:
    rows = np.array([1, 3, 5, 6, 10, 11])
    kept = rows_without_repeats("row_per_skill", split, rows)
    assert kept is not None
    assert kept.tolist() == [3, 5, 10]
    merged = rows_without_repeats("problem", split, rows)
    assert merged is not None
    assert merged.tolist() == rows.tolist()
    assert rows_without_repeats("row_as_given", split, rows) is None
