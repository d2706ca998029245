"""Resuming in the middle of loaders without a length, and of loaders that keep their own place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

from tests.trainer.models import (
    Batch,
    assert_equal_weights,
    regression_data,
    regression_loader,
)
from tests.trainer.test_resume import killed_and_resumed, straight
from trainer.seed import isolated_rng


class Stream(IterableDataset[Any]):
    """A dataset without a length that shuffles by the global generator."""

    def __iter__(self) -> Iterator[Any]:
        data = regression_data()
        for index in torch.randperm(24).tolist():
            yield data[index]


@pytest.mark.parametrize("after", [2, 5, 6, 8])
def test_iterable_datasets_without_a_length_resume_too(tmp_path: Path, after: int) -> None:
    def make() -> DataLoader[Any]:
        return DataLoader(Stream(), batch_size=4)

    _, model = straight(tmp_path, make)
    _, resumed = killed_and_resumed(tmp_path, after, make)
    assert_equal_weights(model, resumed)


class StatefulLoader:
    """Batches with a place of their own."""

    def __init__(self) -> None:
        self.position = 0
        self.fetched: list[int] = []
        self.batches = list(regression_loader(24, 4))

    def __iter__(self) -> Iterator[Batch]:
        while self.position < len(self.batches):
            self.position += 1
            self.fetched.append(self.position)
            yield self.batches[self.position - 1]
        self.position = 0

    def __len__(self) -> int:
        return 6

    def state_dict(self) -> dict[str, Any]:
        return {"position": self.position}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.position = state_dict["position"]


def test_a_stateful_loader_is_asked_for_its_place(tmp_path: Path) -> None:
    loaders: list[StatefulLoader] = []

    def make() -> StatefulLoader:
        with isolated_rng():
            loaders.append(StatefulLoader())
        return loaders[-1]

    _, model = straight(tmp_path, make)
    _, resumed = killed_and_resumed(tmp_path, 9, make)
    assert_equal_weights(model, resumed)
    assert loaders[-1].fetched[:3] == [4, 5, 6]
