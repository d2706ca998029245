"""Loaders: lengths, limits and what is refused."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

from tests.trainer.models import Regression, make_trainer, regression_loader
from trainer.data.loaders import Lookahead, limit_batches, list_loaders, loader_length
from trainer.errors import MisconfigurationException


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Iterator[torch.Tensor]:
        while True:
            yield torch.zeros(1)


class Sized(Endless):
    def __len__(self) -> int:
        return 10


def test_lengths_are_known_or_infinite() -> None:
    assert loader_length(regression_loader(10, 4)) == 3
    assert loader_length(DataLoader(Endless(), batch_size=2)) == math.inf
    assert loader_length(DataLoader(Sized(), batch_size=2)) == 5
    assert loader_length(iter([1])) == math.inf
    assert loader_length([1, 2]) == 2


@pytest.mark.parametrize(
    ("length", "limit", "expected"),
    [(10, 3, 3), (10, 30, 10), (10, 0.35, 3), (10, 1.0, 10), (10, 0, 0), (10, 0.0, 0), (math.inf, 7, 7),
     (math.inf, 1.0, math.inf), (math.inf, 0.0, 0), (0, 0.5, 0)],
)  # fmt: skip
def test_limits_are_numbers_or_shares(length: float, limit: float, expected: float) -> None:
    assert limit_batches(length, limit, "limit_train_batches") == expected


def test_impossible_limits_are_refused() -> None:
    with pytest.raises(
        MisconfigurationException, match=r"leaves no batch of the loader's 10. Got 0.05; expected at least 0.1"
    ):
        limit_batches(10, 0.05, "limit_val_batches")
    with pytest.raises(MisconfigurationException, match="is a share, and the loader has no length"):
        limit_batches(math.inf, 0.5, "limit_val_batches")


def test_a_list_of_batches_is_no_list_of_loaders(tmp_path: Path) -> None:
    batches = list(regression_loader())
    with pytest.raises(MisconfigurationException, match=r"A list of batches was given.*DataLoader\(batches"):
        make_trainer(tmp_path, max_epochs=1).fit(Regression(), batches)
    with pytest.raises(MisconfigurationException, match="A list of batches was given"):
        list_loaders([torch.ones(3), torch.ones(3)])
    trainer = make_trainer(tmp_path, max_epochs=1)
    trainer.fit(Regression(), DataLoader(batches, batch_size=None))  # type: ignore[arg-type]
    assert trainer.global_step == 6


def test_loaders_are_one_or_a_list() -> None:
    loader = regression_loader()
    assert list_loaders(None) == []
    assert list_loaders(loader) == [loader]
    assert list_loaders([loader, loader]) == [loader, loader]
    assert list_loaders({"b": loader, "a": [loader]}) == [loader, loader]
    with pytest.raises(MisconfigurationException, match="cannot be iterated"):
        list_loaders(3)


def test_any_iterable_trains(tmp_path: Path) -> None:
    class Plain:
        def __iter__(self) -> Iterator[Any]:
            return iter(list(regression_loader(12, 4)))

    trainer = make_trainer(tmp_path, max_epochs=2)
    trainer.fit(Regression(), Plain())
    assert trainer.global_step == 6
    assert trainer.num_training_batches == math.inf


def test_nothing_is_fetched_beyond_a_limit(tmp_path: Path) -> None:
    fetched: list[int] = []

    class Counting:
        def __iter__(self) -> Iterator[Any]:
            for index, batch in enumerate(regression_loader()):
                fetched.append(index)
                yield batch

    make_trainer(tmp_path, max_epochs=2, limit_train_batches=2).fit(Regression(), Counting())
    assert fetched == [0, 1, 0, 1]


def test_an_endless_loader_needs_a_limit_in_batches(tmp_path: Path) -> None:
    with pytest.raises(MisconfigurationException, match="is a share, and the loader has no length"):
        make_trainer(tmp_path, limit_train_batches=0.5).fit(Regression(), DataLoader(Endless()))


def test_looking_ahead_knows_the_last() -> None:
    looking = Lookahead(iter("abc"), None)
    assert [(item, looking.is_last) for item in looking] == [("a", False), ("b", False), ("c", True)]
    assert list(Lookahead(iter(""), None)) == []


def test_the_users_loader_is_not_replaced(tmp_path: Path) -> None:
    loader = regression_loader(shuffle=True)
    trainer = make_trainer(tmp_path, max_epochs=1)
    trainer.fit(Regression(), loader)
    assert trainer.train_dataloader is loader
    assert trainer.train_loader is not None
    assert trainer.train_loader.loader is loader
