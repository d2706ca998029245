"""The reference of a signal: its figures against numpy, and that no bin is of few students."""

import json
import math

import numpy as np
import pytest

from components.monitoring.reference import MIN_STUDENTS, Reference, SignalReference, reference_of


def referred(values: np.ndarray, student: np.ndarray) -> SignalReference:
    found = reference_of(values, student)
    assert found is not None
    return found


def test_figures_of_independent_values_are_numpys() -> None:
    values = np.random.default_rng(1).normal(10.0, 2.0, 1000)
    found = referred(values, np.arange(1000))
    assert found.mean == pytest.approx(values.mean(), abs=0.01)
    assert found.sd == pytest.approx(values.std(ddof=1), abs=0.01)
    assert found.standard_error == pytest.approx(values.std(ddof=1) / math.sqrt(1000), abs=0.001)
    assert (found.values, found.students, sum(found.counts)) == (1000, 1000, 1000)
    assert len(found.counts) == len(found.edges) + 1 == 10
    assert max(found.counts) < 130  # about tenths: the edges are rounded
    assert found.design_effect == pytest.approx(1.0, abs=0.1)


def test_values_of_a_student_count_as_one_where_they_are_alike() -> None:
    student = np.repeat(np.arange(200), 5)
    values = np.random.default_rng(2).normal(size=200)[student]
    found = referred(values, student)
    assert found.design_effect == pytest.approx(5.0, rel=0.02)  # five copies of each
    assert found.alike == pytest.approx(1.0, abs=0.02)
    other = referred(np.random.default_rng(3).normal(size=1000), student)
    assert other.alike == pytest.approx(0.0, abs=0.05)


def test_every_bin_holds_ten_students_and_edges_are_no_single_values() -> None:
    source = np.random.default_rng(4)
    student = np.repeat(np.arange(40), 20)
    values = source.normal(size=40)[student] * 3 + source.normal(size=800) * 0.1  # a bin would be of four students
    found = referred(values, student)
    bins = np.searchsorted(np.array(found.edges), values, side="left")
    assert min(len(np.unique(student[bins == at])) for at in range(len(found.counts))) >= MIN_STUDENTS
    assert not set(found.edges) & set(values.tolist())
    assert reference_of(values[student < 9], student[student < 9]) is None


def test_a_signal_of_few_values_has_few_bins_and_a_constant_has_one() -> None:
    student = np.arange(100)
    rare = (student < 3).astype(float)
    assert referred(rare, student).counts == (100,)  # three students would be a bin of their own
    assert referred((student < 30).astype(float), student).counts == (70, 30)
    constant = referred(np.full(100, 7.0), student)
    assert (constant.mean, constant.sd, constant.counts) == (7.0, 0.0, (100,))
    assert constant.design_effect == 1.0


def test_json_round_trip_and_what_is_refused() -> None:
    one = referred(np.random.default_rng(5).normal(size=300), np.arange(300))
    found = Reference(split="test", requests=300, students=300, signals={"a": one})
    plain = json.loads(json.dumps(found.to_json()))
    assert Reference.from_json(plain) == found
    for wrong in ({"format": 2}, {"signals": {"a": {**plain["signals"]["a"], "counts": [1]}}}, {"requests": None}):
        with pytest.raises((ValueError, TypeError)):
            Reference.from_json({**plain, **wrong})
