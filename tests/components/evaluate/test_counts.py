"""Counts of earlier answers against a plain loop over students and steps."""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.evaluate.counts import Counts, counts_of
from components.evaluate.sequences import Split, read_split

Step = tuple[frozenset[int], float, int]
"""Skills, response, item."""
STEPS = st.tuples(
    st.frozensets(st.integers(1, 5), min_size=1, max_size=3),
    st.sampled_from([0.0, 1.0, 0.25]),
    st.sampled_from([0, 1, 2, 3]),
)
STUDENTS = st.lists(st.lists(STEPS, min_size=1, max_size=12), min_size=1, max_size=4)


def split_of(students: list[list[Step]], max_len_steps: int = 1_000) -> Split:
    """A split in memory, its students in falling order so that the flat arrays are in no order of students."""
    steps = [step for own in students for step in own]
    lengths = [min(max_len_steps, len(own) - begin) for own in students for begin in range(0, len(own), max_len_steps)]
    owner = [len(students) - number for number, own in enumerate(students) for _ in range(0, len(own), max_len_steps)]
    skills = np.zeros((len(steps), 3), np.int32)
    for row, (names, _, _) in enumerate(steps):
        skills[row, : len(names)] = sorted(names)
    return Split(
        items=np.array([item for _, _, item in steps], np.int32),
        skills=skills,
        responses=np.array([response for _, response, _ in steps], np.float32),
        scored=np.ones(len(steps), np.bool_),
        position=np.array([at for own in students for at in range(len(own))], np.uint32),
        starts=np.cumsum(lengths, dtype=np.int64) - lengths,
        lengths=np.array(lengths, np.int32),
        window_student=np.array(owner, np.int32),
    )


def looped(students: list[list[Step]]) -> list[list[float]]:
    """For each step: wins and failures in all, on the item, and on each of up to three skills."""
    out = []
    for own in students:
        in_all = [0.0, 0.0]
        on_item: dict[int, list[float]] = defaultdict(lambda: [0.0, 0.0])
        on_skill: dict[int, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for skills, response, item in own:
            known = [on_skill[k] if k >= 2 else [0.0, 0.0] for k in sorted(skills)]
            known += [[0.0, 0.0]] * (3 - len(known))
            item_counts = on_item[item] if item >= 2 else [0.0, 0.0]
            out.append([*in_all, *item_counts, *(w for w, _ in known), *(f for _, f in known)])
            for counts in (in_all, on_item[item], *(on_skill[k] for k in skills)):
                counts[0] += response
                counts[1] += 1 - response
    return out


def table(counts: Counts) -> list[list[float]]:
    columns = [counts.wins_N, counts.failures_N, counts.item_wins_N, counts.item_failures_N]
    rows = np.hstack([np.stack(columns, axis=1), counts.skill_wins_NK, counts.skill_failures_NK])
    return [[float(v) for v in row] for row in rows]


@settings(max_examples=200, deadline=None)
@given(STUDENTS, st.integers(1, 5))
def test_counts_equal_a_plain_loop_whatever_the_windows(students: list[list[Step]], max_len_steps: int) -> None:
    found = table(counts_of(split_of(students, max_len_steps)))
    for ours, theirs in zip(found, looped(students), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-6)


@settings(max_examples=100, deadline=None)
@given(STUDENTS, st.data())
def test_a_later_answer_changes_no_earlier_count(students: list[list[Step]], data: st.DataObject) -> None:
    own = data.draw(st.integers(0, len(students) - 1))
    at = data.draw(st.integers(0, len(students[own]) - 1))
    skills, response, item = students[own][at]
    changed = [list(steps) for steps in students]
    changed[own][at] = (skills, 1.0 - response, item)
    row = sum(len(steps) for steps in students[:own]) + at
    before, after = (table(counts_of(split_of(s))) for s in (students, changed))
    assert before[: row + 1] == after[: row + 1]
    other = row + len(students[own]) - at  # the first row of the next student
    assert before[other:] == after[other:]


def test_counts_of_a_dataset_on_disk_run_on_across_windows(tmp_path: Path, split_writer: Callable[..., None]) -> None:
    split_writer(tmp_path / "test", [3], [[([2, 0], 1.0), ([2, 3], 0.0), ([2, 0], 1.0)]], 2, [[5, 5, 1]])
    counts = counts_of(read_split(tmp_path, "test"))
    assert counts.skill_wins_NK.tolist() == [[0, 0], [1, 0], [1, 0]]
    assert counts.skill_failures_NK.tolist() == [[0, 0], [0, 0], [1, 0]]
    assert (counts.item_wins_N.tolist(), counts.wins_N.tolist()) == ([0, 1, 0], [0, 1, 1])
