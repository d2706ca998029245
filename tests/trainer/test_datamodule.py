"""Data modules in all stages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import trainer as L
from tests.trainer.models import (
    LoggingRegression,
    Regression,
    SeveralLoaders,
    make_trainer,
    regression_data,
    regression_loader,
)
from trainer.errors import MisconfigurationException
from trainer.loggers import CSVLogger


class Data(L.LightningDataModule):
    def __init__(self) -> None:
        super().__init__()
        self.called: list[str] = []

    def prepare_data(self) -> None:
        self.called.append("prepare")

    def setup(self, stage: str) -> None:
        self.called.append(f"setup {stage}")

    def teardown(self, stage: str) -> None:
        self.called.append(f"teardown {stage}")

    def train_dataloader(self) -> Any:
        return regression_loader(8, 4)

    def val_dataloader(self) -> Any:
        return regression_loader(4, 4)

    def on_exception(self, exception: BaseException) -> None:
        self.called.append(type(exception).__name__)


def test_a_data_module_serves_all_stages(tmp_path: Path) -> None:
    data, trainer = Data(), make_trainer(tmp_path, max_epochs=1)
    model = LoggingRegression()
    trainer.fit(model, datamodule=data)
    assert trainer.validate(model, data, verbose=False)[0].keys() == {"val_loss"}
    assert data.called == [
        "prepare", "setup fit", "teardown fit", "prepare", "setup validate", "teardown validate",
    ]  # fmt: skip
    assert data.trainer is trainer


def test_it_may_stand_in_the_place_of_the_loaders(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, max_epochs=1)
    trainer.fit(LoggingRegression(), Data())
    assert trainer.num_val_batches == [1]


def test_it_hears_of_exceptions(tmp_path: Path) -> None:
    class Broken(LoggingRegression):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            raise ZeroDivisionError

    data = Data()
    with pytest.raises(ZeroDivisionError):
        make_trainer(tmp_path, max_epochs=1).fit(Broken(), data)
    assert data.called[-2:] == ["ZeroDivisionError", "teardown fit"]


def test_loaders_and_a_data_module_contradict_each_other(tmp_path: Path) -> None:
    with pytest.raises(MisconfigurationException, match="both given"):
        make_trainer(tmp_path).fit(LoggingRegression(), regression_loader(), datamodule=Data())


def test_datasets_make_a_data_module(tmp_path: Path) -> None:
    data = L.LightningDataModule.from_datasets(
        regression_data(12), [regression_data(8), regression_data(4)], regression_data(6), batch_size=4
    )
    trainer = make_trainer(tmp_path, max_epochs=1)
    trainer.fit(SeveralLoaders(), datamodule=data)
    assert (trainer.num_training_batches, trainer.num_val_batches) == (3, [2, 1])
    assert len(trainer.test(LoggingRegression(), datamodule=data, verbose=False)) == 1


def test_hyperparameters_of_data_and_model_go_to_the_loggers(tmp_path: Path) -> None:
    class Sized(L.LightningDataModule):
        def __init__(self, samples: int = 8) -> None:
            super().__init__()
            self.save_hyperparameters()

        def train_dataloader(self) -> Any:
            return regression_loader(self.hparams.samples, 4)

    trainer = make_trainer(tmp_path, max_epochs=1, logger=CSVLogger(tmp_path))
    trainer.fit(Regression(lr=0.5), datamodule=Sized())
    written = yaml.safe_load((Path(str(trainer.log_dir)) / "hparams.yaml").read_text())
    assert written == {"samples": 8, "width": 4, "dropout": 0.0, "lr": 0.5, "seed": 3}
