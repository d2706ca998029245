"""Resuming in the middle of loaders without a length, and of loaders that keep their own place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

from tests.trainer.checkpoints.test_resume import Model, killed_and_resumed, straight
from tests.trainer.models import (
    Batch,
    assert_equal_weights,
    make_trainer,
    regression_data,
    regression_loader,
)
from trainer.callbacks import ModelCheckpoint
from trainer.seed import isolated_rng


class Stream(IterableDataset[Any]):
    """A dataset without a length that shuffles by the global generator."""

    def __iter__(self) -> Iterator[Any]:
        data = regression_data()
        for index in torch.randperm(24).tolist():
            yield data[index]


REPLAY = "ignore:DataLoader cannot be entered in the middle"


@pytest.mark.filterwarnings(REPLAY)
@pytest.mark.parametrize("after", [2, 5, 6, 8])
def test_iterable_datasets_without_a_length_resume_too(tmp_path: Path, after: int) -> None:
    def make() -> DataLoader[Any]:
        return DataLoader(Stream(), batch_size=4)

    _, model = straight(tmp_path, make)
    _, resumed = killed_and_resumed(tmp_path, after, make)
    assert_equal_weights(model, resumed)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_stream_that_is_read_again_says_what_would_be_exact(tmp_path: Path, workers: int) -> None:
    def make() -> DataLoader[Any]:
        return DataLoader(Stream(), batch_size=4, num_workers=workers)

    with pytest.warns(UserWarning, match=r"first 2 batches are read again.*state_dict.*ends of epochs"):
        killed_and_resumed(tmp_path, 2, make, max_epochs=1)


def test_at_the_end_of_an_epoch_nothing_is_read_again(tmp_path: Path) -> None:
    def make() -> DataLoader[Any]:
        return DataLoader(Stream(), batch_size=4)

    _, model = straight(tmp_path, make, max_epochs=2)
    torch.manual_seed(11)
    saver = ModelCheckpoint(tmp_path / "ends", save_top_k=-1)
    make_trainer(tmp_path, max_epochs=1, callbacks=saver).fit(Model(), make(), regression_loader(8))
    torch.manual_seed(999)
    resumed = Model()
    # A warning would be an error here.
    trainer = make_trainer(tmp_path, max_epochs=2)
    trainer.fit(resumed, make(), regression_loader(8), ckpt_path=saver.best_model_path)
    assert trainer.global_step == 12
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
