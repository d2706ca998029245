"""Writing predictions, with the indices of their samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from tests.trainer.models import LoggingRegression, make_trainer
from trainer.callbacks import BasePredictionWriter
from trainer.errors import MisconfigurationException


class Echo(LoggingRegression):
    def predict_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Any:
        return [int(value) for value in batch]


class Keeping(BasePredictionWriter):
    def __init__(self, interval: Any) -> None:
        super().__init__(interval)
        self.batches: list[Any] = []
        self.epoch: Any = None

    def write_on_batch_end(
        self, trainer: Any, pl_module: Any, prediction: Any, indices: Any, batch: Any, batch_idx: int, loader: int
    ) -> None:
        self.batches.append((prediction, indices, batch_idx, loader))

    def write_on_epoch_end(self, trainer: Any, pl_module: Any, predictions: Any, indices: Any) -> None:
        self.epoch = [list(predictions), list(indices)]


def numbers(count: int, **options: Any) -> DataLoader[Any]:
    """Return a loader whose sample i is 10 * i."""
    return DataLoader(torch.arange(count) * 10, batch_size=2, **options)  # type: ignore[arg-type]  # it has indices


def predict(tmp_path: Path, interval: str, loaders: Any, **options: Any) -> tuple[Keeping, Any]:
    writer = Keeping(interval)
    return writer, make_trainer(tmp_path, callbacks=writer).predict(Echo(), loaders, **options)


def test_each_batch_comes_with_its_indices(tmp_path: Path) -> None:
    writer, result = predict(tmp_path, "batch", numbers(5))
    assert writer.batches == [([0, 10], [0, 1], 0, 0), ([20, 30], [2, 3], 1, 0), ([40], [4], 2, 0)]
    assert writer.epoch is None
    assert result == [[0, 10], [20, 30], [40]]


@pytest.mark.parametrize("returns", [False, True])
def test_everything_comes_at_the_end(tmp_path: Path, returns: bool) -> None:
    writer, result = predict(tmp_path, "epoch", numbers(5), return_predictions=returns)
    assert writer.batches == []
    assert writer.epoch == [[[0, 10], [20, 30], [40]], [[[0, 1], [2, 3], [4]]]]
    assert result == (writer.epoch[0] if returns else None)


def test_several_loaders_are_kept_apart(tmp_path: Path) -> None:
    writer, _ = predict(tmp_path, "batch_and_epoch", [numbers(2), numbers(3)])
    assert [entry[1:] for entry in writer.batches] == [([0, 1], 0, 0), ([0, 1], 0, 1), ([2], 1, 1)]
    assert writer.epoch == [[[[0, 10]], [[0, 10], [20]]], [[[0, 1]], [[0, 1], [2]]]]


@pytest.mark.parametrize("workers", [0, 2])
def test_indices_belong_to_their_batch_however_they_are_drawn(tmp_path: Path, workers: int) -> None:
    loader = numbers(9, shuffle=True, num_workers=workers)
    writer, _ = predict(tmp_path, "batch", loader)
    assert sorted(index for _, indices, *_ in writer.batches for index in indices) == list(range(9))
    assert all(prediction == [10 * index for index in indices] for prediction, indices, *_ in writer.batches)


def test_a_loader_without_batching_has_one_index_at_a_time(tmp_path: Path) -> None:
    data = [torch.tensor([7]), torch.tensor([8])]
    loader: DataLoader[Any] = DataLoader(data, batch_size=None)  # type: ignore[arg-type]  # it has indices
    writer, _ = predict(tmp_path, "batch", loader)
    assert [entry[:2] for entry in writer.batches] == [([7], [0]), ([8], [1])]


def test_data_without_indices_has_none(tmp_path: Path) -> None:
    class Stream(IterableDataset[Tensor]):
        def __iter__(self) -> Any:
            return iter(torch.arange(3))

    writer, _ = predict(tmp_path, "batch", DataLoader(Stream(), batch_size=2))
    assert [entry[:2] for entry in writer.batches] == [([0, 1], None), ([2], None)]


def test_a_prediction_may_be_repeated(tmp_path: Path) -> None:
    writer = Keeping("batch_and_epoch")
    trainer, loader = make_trainer(tmp_path, callbacks=writer), numbers(4)
    for _ in range(2):
        trainer.predict(Echo(), loader)
    assert [entry[1] for entry in writer.batches] == [[0, 1], [2, 3]] * 2
    assert writer.epoch[1] == [[[0, 1], [2, 3]]]


def test_an_unknown_interval_is_refused() -> None:
    with pytest.raises(MisconfigurationException, match="'step'"):
        BasePredictionWriter("step")  # type: ignore[arg-type]


@pytest.mark.parametrize("interval", ["batch", "epoch"])
def test_methods_have_to_be_written(tmp_path: Path, interval: Any) -> None:
    trainer = make_trainer(tmp_path, callbacks=BasePredictionWriter(interval))
    with pytest.raises(NotImplementedError, match=f"write_on_{interval}_end"):
        trainer.predict(Echo(), numbers(4))
