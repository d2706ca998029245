"""The search for a batch size, with a memory that tests can make small."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

import trainer as L
from tests.trainer.models import LoggingRegression, assert_equal_weights, make_trainer, regression_data, weights_of
from trainer.callbacks import BatchSizeFinder
from trainer.errors import MisconfigurationException
from trainer.tuner import Tuner
from trainer.utilities.memory import is_oom_error


class Sized(LoggingRegression):
    """A model with loaders of its own, on a machine that holds `most` samples at once."""

    def __init__(self, most: float = float("inf"), samples: int = 1000, batch_size: int = 2) -> None:
        super().__init__(dropout=0.3)
        self.batch_size = batch_size
        self.most = most
        self.samples = samples
        self.tried: list[int] = []

    def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        size = len(batch[0])
        if size not in self.tried:
            self.tried.append(size)
        if size > self.most:
            raise RuntimeError("CUDA error: out of memory")
        return super().loss(batch)

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(regression_data(self.samples), batch_size=self.batch_size)

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(regression_data(self.samples), batch_size=self.batch_size)

    test_dataloader = predict_dataloader = val_dataloader

    def predict_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return self.loss(batch)


def scale(tmp_path: Path, model: Sized, **options: Any) -> int | None:
    return Tuner(make_trainer(tmp_path, max_epochs=1)).scale_batch_size(model, **options)


def test_power_doubles_until_memory_does_not_suffice(tmp_path: Path) -> None:
    model = Sized(most=50)
    assert scale(tmp_path, model) == model.batch_size == 32
    assert model.tried == [2, 4, 8, 16, 32, 64]


def test_binary_search_comes_to_the_exact_limit(tmp_path: Path) -> None:
    model = Sized(most=50)
    assert scale(tmp_path, model, mode="binsearch", margin=0.0) == model.batch_size == 50
    with_margin = Sized(most=50)
    assert scale(tmp_path, with_margin, mode="binsearch", margin=0.1) == with_margin.batch_size == 45


def test_a_first_size_that_is_too_large_is_halved(tmp_path: Path) -> None:
    assert scale(tmp_path, Sized(most=10), init_val=64) == 8


def test_limits_of_the_search(tmp_path: Path) -> None:
    assert scale(tmp_path, Sized(), max_trials=3) == 8
    assert scale(tmp_path, Sized(), max_val=100) == 100
    assert scale(tmp_path, Sized(samples=40)) == 64  # the first that holds all the data
    assert scale(tmp_path, Sized(), init_val=4, max_trials=1) == 4


@pytest.mark.parametrize("options", [{}, {"mode": "binsearch", "margin": 0.0}, {"max_trials": 4}])
def test_sizes_are_lightnings(tmp_path: Path, options: dict[str, Any]) -> None:
    lightning = pytest.importorskip("lightning.pytorch", reason="lightning is not installed")
    tuner = pytest.importorskip("lightning.pytorch.tuner")

    class Theirs(lightning.LightningModule):  # type: ignore[misc,name-defined]  # it may be missing
        def __init__(self) -> None:
            super().__init__()
            self.net, self.batch_size = copy.deepcopy(Sized().net), 2

        def training_step(self, batch: Any, batch_idx: int) -> Any:
            if len(batch[0]) > 50:
                raise RuntimeError("CUDA error: out of memory")
            return self.net(batch[0]).mean()

        def train_dataloader(self) -> Any:
            return DataLoader(regression_data(1000), batch_size=self.batch_size)

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.01)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs_trainer = lightning.Trainer(
            accelerator="cpu", devices=1, max_epochs=1, logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, default_root_dir=tmp_path,
        )  # fmt: skip
        theirs = tuner.Tuner(theirs_trainer).scale_batch_size(Theirs(), **options)
    assert scale(tmp_path, Sized(most=50), **options) == theirs


def test_a_search_leaves_no_trace(tmp_path: Path) -> None:
    def fit(*callbacks: L.Callback) -> Sized:
        torch.manual_seed(2)
        model = Sized(most=50, batch_size=32)
        make_trainer(tmp_path, max_epochs=2, callbacks=list(callbacks)).fit(model)
        return model

    finder = BatchSizeFinder()
    assert_equal_weights(fit(), fit(finder))
    assert finder.optimal_batch_size == 32


def test_other_errors_are_raised_and_the_size_is_as_before(tmp_path: Path) -> None:
    class Broken(Sized):
        def loss(self, batch: tuple[Tensor, Tensor]) -> Tensor:
            if len(batch[0]) == 8:
                raise RuntimeError("another error")
            return super().loss(batch)

    model = Broken(batch_size=5)
    before = weights_of(model)
    with pytest.raises(RuntimeError, match="another error"):
        scale(tmp_path, model)
    assert model.batch_size == 5
    assert_equal_weights(model, before)


@pytest.mark.parametrize("method", ["validate", "test", "predict"])
def test_other_stages(tmp_path: Path, method: Any) -> None:
    model = Sized(most=50)
    assert scale(tmp_path, model, method=method) == 32
    trained = Sized(most=50)
    finder = BatchSizeFinder()
    trainer = make_trainer(tmp_path, callbacks=[finder])
    getattr(trainer, method)(trained)
    assert finder.optimal_batch_size == 32
    assert trainer._eval_batches("validation" if method == "validate" else method) == [32]  # 1000 / 32, rounded up


def test_a_search_before_a_later_epoch(tmp_path: Path) -> None:
    class Later(BatchSizeFinder):
        def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            pass

        def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            if trainer.current_epoch == 1:
                self.scale_batch_size(trainer, pl_module)

    trainer = make_trainer(tmp_path, max_epochs=2, callbacks=[Later()])
    trainer.fit(Sized(most=50, samples=64, batch_size=2))
    assert trainer.global_step == 32 + 2  # 64 / 2, then 64 / 32


def test_the_size_in_a_data_module(tmp_path: Path) -> None:
    class Data(L.LightningDataModule):
        def __init__(self, batch_size: int = 2) -> None:
            super().__init__()
            self.save_hyperparameters()

        def train_dataloader(self) -> DataLoader[Any]:
            return DataLoader(regression_data(100), batch_size=self.hparams.batch_size)

    data = Data()
    tuner = Tuner(make_trainer(tmp_path, max_epochs=1))
    assert tuner.scale_batch_size(LoggingRegression(), datamodule=data, max_val=16) == 16
    assert data.hparams.batch_size == 16


def test_what_is_refused(tmp_path: Path) -> None:
    tuner, model = Tuner(make_trainer(tmp_path)), Sized()
    loader = model.train_dataloader()
    with pytest.raises(MisconfigurationException, match="Got 'loaders given as arguments'"):
        tuner.scale_batch_size(model, loader)
    with pytest.raises(MisconfigurationException, match="Got 'no `size`'"):
        tuner.scale_batch_size(model, batch_arg_name="size")
    with pytest.raises(MisconfigurationException, match="takes `dataloaders`"):
        tuner.scale_batch_size(model, loader, method="test")
    with pytest.raises(ValueError, match="'train'"):
        tuner.scale_batch_size(model, method="train")  # type: ignore[arg-type]  # on purpose
    with pytest.raises(ValueError, match="'double'"):
        BatchSizeFinder(mode="double")
    with pytest.raises(AssertionError, match="`margin` should be between 0 and 1"):
        BatchSizeFinder(margin=1.0)
    with pytest.raises(ValueError, match="has a BatchSizeFinder already"):
        Tuner(make_trainer(tmp_path, callbacks=[BatchSizeFinder()])).scale_batch_size(model)
    with pytest.warns(UserWarning, match="nothing under `fast_dev_run`"):
        assert Tuner(make_trainer(tmp_path, fast_dev_run=True)).scale_batch_size(model) is None


def test_errors_of_memory() -> None:
    assert is_oom_error(torch.OutOfMemoryError("x"))
    assert is_oom_error(MemoryError())
    assert is_oom_error(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"))
    assert not is_oom_error(RuntimeError("shape mismatch"))
    assert not is_oom_error(ValueError("out of memory"))
