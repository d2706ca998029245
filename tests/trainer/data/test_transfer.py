"""Batches on their way to the device, and their sizes."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.trainer.models import Regression, make_trainer
from trainer.data.batch_size import BatchSizeReader
from trainer.data.sources import Sources
from trainer.data.transfer import choose_transfer, map_tensors, move_to_device

Pair = namedtuple("Pair", ["left", "right"])


@dataclass
class Sample:
    values: Tensor
    name: str


def test_tensors_are_found_in_every_container() -> None:
    one = torch.ones(1)
    batch: Any = {"a": [one, (one, 3)], "b": Pair(one, "x"), "c": Sample(one, "y"), "d": None}
    doubled = map_tensors(lambda tensor: tensor * 2, batch)
    assert doubled == {"a": [2 * one, (2 * one, 3)], "b": Pair(2 * one, "x"), "c": doubled["c"], "d": None}
    assert (doubled["c"].values, doubled["c"].name) == (2 * one, "y")


def test_objects_that_can_move_are_asked_to() -> None:
    class Graph:
        def to(self, device: torch.device) -> str:
            return f"on {device}"

    assert move_to_device(Graph(), torch.device("cpu")) == "on cpu"


def test_on_a_cpu_there_is_nothing_to_do(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path)
    trainer._sources = Sources(module=Regression())
    assert choose_transfer(trainer) is None
    trainer = make_trainer(tmp_path, precision="64-true")
    trainer._sources = Sources(module=Regression())
    move = choose_transfer(trainer)
    assert move is not None
    features, index = move((torch.ones(1), torch.ones(1, dtype=torch.int64)))
    assert (features.dtype, index.dtype) == (torch.float64, torch.int64)


def test_the_first_tensor_gives_the_batch_size() -> None:
    reader = BatchSizeReader()
    three, five = torch.ones(3, 2), torch.ones(5, 2)
    batches: list[tuple[Any, int]] = [
        (three, 3),
        ((three, five), 3),
        ((five, three), 5),
        ({"id": "x", "x": [five]}, 5),
        (Sample(three, "x"), 3),
        ("no tensor", 1),
        (torch.tensor(2.0), 1),
        ((three,), 3),
    ]
    for batch, expected in batches:
        assert reader.read(batch) == expected
