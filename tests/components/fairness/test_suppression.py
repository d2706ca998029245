"""What is hidden stays hidden: every attempt to have a small group back from sums and differences fails."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.evaluate.rows import ScoredRows
from components.fairness.config import FairnessConfig
from components.fairness.suppression import hidden_cells, set_aside
from components.fairness.table import tables_of

Ints = npt.NDArray[np.int64]


def hidden(students: list[list[int]], rows_each: int = 20) -> list[list[bool]]:
    table = np.array(students)
    found = hidden_cells(table, table * rows_each, min_students=10, min_scored=100)
    return [[bool(one) for one in row] for row in found]


def test_a_lone_small_cell_takes_one_of_its_row_one_of_its_column_and_what_closes_the_ring() -> None:
    found = hidden([[3, 40, 30], [50, 60, 70], [80, 90, 20]])
    # 3 is hidden; 30 is the smallest of its row, 50 of its column; 70 closes the ring
    assert found == [[True, False, True], [True, False, True], [False, False, False]]
    assert hidden([[30, 40], [50, 60]]) == [[False, False], [False, False]]
    assert hidden([[30, 0], [50, 60]]) == [[False, False], [False, False]]  # nobody there: nothing to protect


def attack(students: Ints, mask: npt.NDArray[np.bool_], least: int) -> Ints:
    """Return the small cells that follow from the margins and the cells shown, by least squares."""
    known = np.where(mask, 0, students)
    places = np.flatnonzero(mask & (students > 0))
    equations, totals = [], []
    for axis in (0, 1):
        for at in range(students.shape[axis]):
            line = np.zeros(students.shape)
            line[(at, slice(None)) if axis == 0 else (slice(None), at)] = 1
            margin = int((students * line).sum())
            if margin >= least:
                equations.append(line.ravel()[places])
                totals.append(margin - (known * line).sum())
    if not equations or not len(places):
        return np.zeros(0, np.int64)
    system = np.array(equations)
    rank = np.linalg.matrix_rank(system)
    # a cell is given away where fixing it adds nothing to what is known
    return np.array(
        [
            students.flat[place]
            for n, place in enumerate(places)
            if np.linalg.matrix_rank(np.vstack([system, np.eye(len(places))[n]])) == rank
            and students.flat[place] < least
        ]
    )


@settings(max_examples=200, deadline=None)
@given(st.integers(2, 4), st.integers(2, 5), st.integers(0, 10_000))
def test_no_small_cell_follows_from_margins_and_the_cells_shown(first: int, second: int, seed: int) -> None:
    source = np.random.default_rng(seed)
    students = source.choice([0, 1, 3, 8, 12, 30, 60], size=(first, second))
    mask = hidden_cells(students, students * 50, min_students=10, min_scored=100)
    assert (students[~mask & (students > 0)] >= 10).all()
    # what the two attributes' own tables give away, no table of cells can keep
    everything = attack(students, np.ones_like(mask), 10).tolist()
    assert attack(students, mask, 10).tolist() == everything
    for axis in (0, 1):
        for at in range(students.shape[axis]):
            line, its = np.take(students, at, axis), np.take(mask, at, axis)
            if line.sum() >= 10 and (line[its] > 0).any():
                assert line[its].sum() >= 10  # what is left of a margin is never a few students


def test_the_attack_finds_what_is_not_protected() -> None:
    """The test above can fail: hiding the small cells alone gives them away."""
    students = np.array([[3, 40, 30], [50, 60, 70], [80, 90, 20]])
    assert attack(students, students < 10, 10).tolist() == [3]


def test_the_few_students_of_small_groups_are_left_out_of_every_table() -> None:
    gender = np.array([0] * 45 + [1] * 45 + [2] * 4)
    band = np.arange(94) % 2
    out = set_aside({"gender": gender, "band": band}, np.full(94, 20), min_students=10, min_scored=100)
    assert out[90:].all()
    # and six drawn at random with them: what is left of the total over all students is of no fewer than a group
    assert out.sum() == 10
    alone = set_aside({"gender": gender}, np.full(94, 20), min_students=10, min_scored=100)
    assert alone[90:].all()
    assert alone.sum() == 10
    nobody_small = set_aside({"gender": gender[:90], "band": band[:90]}, np.full(90, 20), min_students=10, min_scored=9)
    assert not nobody_small.any()


def test_who_has_no_scored_row_makes_no_group_larger_and_goes_with_it() -> None:
    """Group 2 has 14 students, 8 of them with rows: its figures are of 8, and totals less the others' would be them."""
    gender = np.repeat([0, 1, 2], [60, 60, 14])
    rows = np.full(134, 20)
    rows[128:] = 0
    out = set_aside({"gender": gender}, rows, min_students=10, min_scored=100)
    assert out[120:].all()
    assert (out & (rows > 0)).sum() == 10  # two more are drawn, so that what is left over is of enough who count
    assert not set_aside({"gender": gender}, np.full(134, 20), min_students=10, min_scored=100).any()


def test_who_is_left_out_at_random_makes_no_group_too_small() -> None:
    gender = np.array([0] * 10 + [1] * 100 + [2] * 3)  # a group that has just enough
    out = set_aside({"gender": gender}, np.full(113, 10), min_students=10, min_scored=100)
    assert (out[:10].sum(), out[10:110].sum(), out[110:].sum()) == (0, 7, 3)
    few_answers = set_aside({"gender": gender}, np.full(113, 12), min_students=3, min_scored=110)
    assert (few_answers[:10].sum(), few_answers[110:].sum(), few_answers.sum()) == (0, 3, 10)  # 120 answers
    # where all groups have just enough, nothing can be shown
    bare = set_aside({"gender": np.repeat([0, 1, 2], [10, 10, 3])}, np.full(23, 10), min_students=10, min_scored=100)
    assert bare.sum() in (13, 23)
    everybody = set_aside({"gender": np.zeros(5, np.int64)}, np.full(5, 10), min_students=10, min_scored=100)
    assert everybody.all()


@pytest.mark.parametrize("seed", range(3))
def test_a_hidden_groups_figures_do_not_follow_from_the_evaluations_totals(seed: int) -> None:
    """With only the hidden group left out of one table, every count below came out exact, the group's own."""
    source = np.random.default_rng(seed)
    values = ["F"] * 22 + ["M"] * 24 + ["X"] * 3
    student = np.repeat(np.arange(49), 12)
    probability = source.random(len(student))
    label = (source.random(len(student)) < probability).astype(np.float64)
    rows = ScoredRows(student=student, label=label, probability=probability)
    found = tables_of(rows, {"gender": values}, ["gender"], FairnessConfig(resamples=20))
    shown = [group for group in found.attributes["gender"].comparison.groups if group.status == "ok"]
    assert [group.name for group in shown] == ["F", "M"]
    assert len(found.attributes["gender"].comparison.groups) == 3  # it is told that there is one that is too small
    students = 49 - sum(group.students or 0 for group in shown)
    answers = len(student) - sum(group.scored or 0 for group in shown)
    assert students >= 10
    assert answers >= 100


def test_many_small_groups_together_hide_one_another_and_nobody_is_left_out() -> None:
    town = np.concatenate([np.repeat(np.arange(6), 5), np.full(60, 6)])
    out = set_aside({"town": town, "band": np.arange(90) % 2}, np.full(90, 20), min_students=10, min_scored=100)
    assert not out.any()


def test_leaving_out_goes_on_where_it_makes_another_group_too_small() -> None:
    gender = np.array([0] * 50 + [1] * 50 + [2] * 4)
    band = np.array([0] * 94 + [1] * 10)  # the four of gender 2 are of band 1: six are left of it
    out = set_aside({"gender": gender, "band": band}, np.full(104, 20), min_students=10, min_scored=100)
    assert out[94:].all()
    assert out.sum() == 10


@pytest.mark.parametrize("seed", range(5))
def test_totals_of_two_attributes_differ_by_no_small_group(seed: int) -> None:
    source = np.random.default_rng(seed)
    groups = {
        "a": source.choice(4, 300, p=[0.5, 0.46, 0.02, 0.02]).astype(np.int64),
        "b": source.choice(3, 300, p=[0.6, 0.385, 0.015]).astype(np.int64),
        "c": source.choice(2, 300).astype(np.int64),
    }
    out = set_aside(groups, np.full(300, 12), min_students=10, min_scored=100)
    totals = []
    for group in groups.values():
        size = np.bincount(group[~out])
        totals.append(int(size[size >= 10].sum()))
    totals.append(300)  # the evaluation's own
    for one in totals:
        for other in totals:
            assert one == other or abs(one - other) >= 10
