"""Reading a split: which steps are scored, whose they are, and what does not fit together."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from components.errors import SchemaError
from components.evaluate.sequences import read_split

STEPS = [[([2], 1.0)] * 5, [([3], 0.0)] * 2]


@pytest.fixture
def folder(tmp_path: Path, split_writer: Callable[..., None]) -> Path:
    """Student 7 with five steps in windows of three, student 4 with two."""
    split_writer(tmp_path / "test", [7, 4], STEPS, 3)
    return tmp_path


def test_scored_steps_are_those_of_the_file(folder: Path) -> None:
    split = read_split(folder, "test")
    assert split.scored.tolist() == [False, True, True, False, True, False, True]


def test_each_step_belongs_to_its_windows_student_in_whatever_order_the_windows_are(folder: Path) -> None:
    expected = [7, 7, 7, 7, 7, 4, 4]
    assert read_split(folder, "test").student().tolist() == expected
    for name in ("starts", "lengths", "window_student"):
        np.save(folder / "test" / f"{name}.npy", np.load(folder / "test" / f"{name}.npy")[::-1])
    assert read_split(folder, "test").student().tolist() == expected


@pytest.mark.parametrize("lengths", [[3, 3, 2], [3, 1, 2], [3, 2, 1], [7, 0, 0]])
def test_windows_that_overlap_or_leave_steps_out_are_refused(folder: Path, lengths: list[int]) -> None:
    np.save(folder / "test" / "lengths.npy", np.array(lengths, np.int32))
    with pytest.raises(SchemaError, match=r"3 windows do not hold each of the 7 steps exactly once.*preprocess again"):
        read_split(folder, "test")


def test_all_missing_files_are_named_at_once(folder: Path) -> None:
    (folder / "test" / "starts.npy").unlink()
    (folder / "test" / "skills.npy").unlink()
    with pytest.raises(SchemaError, match=r"no test/skills.npy, test/starts.npy; expected items, skills"):
        read_split(folder, "test")


def test_all_arrays_of_a_wrong_length_are_named_at_once(folder: Path) -> None:
    np.save(folder / "test" / "position.npy", np.zeros(6, np.uint32))
    np.save(folder / "test" / "skills.npy", np.zeros(7, np.int32))
    with pytest.raises(SchemaError, match=r"position has 6 rows, responses has 7; skills has 1 dimension"):
        read_split(folder, "test")


def test_some_windows_are_a_split_of_their_own(tmp_path: Path, split_writer: Callable[..., None]) -> None:
    steps = [[([2, 0], float(at % 2)) for at in range(n)] for n in (5, 2, 4)]
    items = [[10, 11, 12, 13, 14], [20, 21], [30, 31, 32, 33]]
    split_writer(tmp_path / "test", [4, 0, 7], steps, 3, items)
    rows, part = read_split(tmp_path, "test").of_windows(
        np.array([4, 1, 0])
    )  # two of the first student, one of the last
    assert rows.tolist() == [0, 1, 2, 3, 4, 10]
    assert part.items.tolist() == [10, 11, 12, 13, 14, 33]
    assert part.student().tolist() == [4, 4, 4, 4, 4, 7]
    assert part.scored.tolist() == [False, True, True, False, True, False]
    assert part.position.tolist() == [0, 1, 2, 3, 4, 3]
