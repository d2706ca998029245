"""Predictions come back in the order of the arrays, each response once, whatever order the loader gives."""

from typing import Any

import numpy as np
import pytest
import torch

from components.errors import SchemaError
from components.writing.evaluate.predict import gathered
from components.writing.scale import RowScales, Scale

Batch = dict[str, torch.Tensor]


def batch(index: list[int], raw: list[float], **others: Any) -> Batch:
    given = {name: torch.tensor(values) for name, values in others.items()}
    return {"index": torch.tensor(index), "raw": torch.tensor(raw), **given}


def test_batches_in_any_order_are_put_in_place_with_intervals_and_traits() -> None:
    found = gathered(
        [
            batch([2, 0], [2.5, 0.5], low=[2.0, 0.0], high=[3.0, 1.0], traits=[[5.0, 6.0], [1.0, float("nan")]]),
            batch([1], [1.5], low=[1.0], high=[2.0], traits=[[3.0, 4.0]]),
        ],
        rows=3,
        traits=2,
    )
    assert found.score.raw.tolist() == [0.5, 1.5, 2.5]
    assert found.score.low is not None
    assert found.score.high is not None
    assert (found.score.low.tolist(), found.score.high.tolist()) == ([0, 1, 2], [1, 2, 3])
    assert found.traits is not None
    assert np.nan_to_num(found.traits, nan=-1).tolist() == [[1, -1], [3, 4], [5, 6]]


def test_labels_are_put_in_place_and_count_instead_of_the_nearest_score() -> None:
    scales = RowScales.of([Scale(low=0, high=2)], np.zeros(3, np.int64))
    found = gathered([batch([2, 0, 1], [1.1, 0.9, 0.2], label=[2.0, 0.0, 0.0])], rows=3, traits=0)
    assert found.score.given(scales).tolist() == [0.0, 0.0, 2.0]
    plain = gathered([batch([2, 0, 1], [1.1, 0.9, 0.2])], rows=3, traits=0)
    assert plain.score.given(scales).tolist() == [1.0, 0.0, 1.0]
    some = found.score.at(np.array([2, 1]))
    assert some.label is not None
    assert some.label.tolist() == [2.0, 0.0]


def test_double_precision_stays_and_half_precision_is_read() -> None:
    third = torch.tensor([1 / 3], dtype=torch.float64)
    double = gathered([{"index": torch.tensor([0]), "raw": third}], rows=1, traits=0)
    assert double.score.raw.tolist() == [1 / 3]
    half = gathered([{"index": torch.tensor([0]), "raw": third.bfloat16()}], rows=1, traits=0)
    assert half.score.raw == pytest.approx([1 / 3], abs=1e-3)


def test_a_model_without_intervals_and_traits_gives_none() -> None:
    found = gathered([batch([1, 0], [0.0, 1.0])], rows=2, traits=1)
    assert (found.score.low, found.score.high, found.traits) == (None, None, None)


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([batch([0, 1], [0.5, 0.5])], "Of 3 responses, 1 were not predicted"),
        ([batch([0, 1, 2, 2], [0.5] * 4)], "1 were predicted more than once"),
        ([batch([0, 1, 2, 3, -1], [0.5] * 5)], "2 do not exist"),
        ([batch([0, 1, 2], [0.5, float("inf"), float("nan")])], "2 have no finite raw"),
        ([batch([0, 1, 2], [0.5] * 3, low=[0.0, 1.0, 0.0], high=[1.0] * 2 + [float("nan")])], "1 have no finite high"),
        ([batch([0, 1, 2], [0.5] * 3, low=[0.0, 2.0, 0.0], high=[1.0] * 3)], "1 have an interval whose low is above"),
        ([], r"predict_step returned 0 indices and no raw|3 were not predicted"),
        ([batch([0, 1, 2], [0.5, 0.5])], "3 indices and 2 of raw"),
        ([batch([0, 1, 2], [0.5] * 3, label=[1.0, 2.0])], "3 indices and 2 of label"),
        ([batch([0, 1, 2], [0.5] * 3, traits=[[1.0], [2.0], [3.0]])], "3 indices and 0 of traits"),
        ([{"index": torch.tensor([0, 1, 2])}], "3 indices and no raw"),
    ],
)
def test_each_response_must_be_predicted_exactly_once(batches: list[Batch], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        gathered(batches, rows=3, traits=2)
