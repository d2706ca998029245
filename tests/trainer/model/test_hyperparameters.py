"""Hyperparameters: kept as plain data, built again."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import trainer as L
from tests.trainer.models import Regression, assert_equal_weights, make_trainer, regression_loader
from trainer.checkpoints.files import load_checkpoint
from trainer.errors import CheckpointError, MisconfigurationException
from trainer.model.hyperparameters import AttributeDict


class Parent(L.LightningModule):
    def __init__(self, width: int, depth: int = 2) -> None:
        super().__init__()
        self.save_hyperparameters()


class Child(Parent):
    def __init__(self, name: str, **others: Any) -> None:
        super().__init__(width=3)


def test_arguments_of_the_whole_chain_are_kept() -> None:
    assert Parent(5).hparams == {"width": 5, "depth": 2}
    assert Child("a", extra=1).hparams == {"name": "a", "extra": 1, "width": 3, "depth": 2}


def test_names_choose_and_ignore_leaves_out() -> None:
    class Some(L.LightningModule):
        def __init__(self, a: int, b: int, c: int, **kwargs: Any) -> None:
            super().__init__()
            self.save_hyperparameters(**kwargs) if kwargs else self.save_hyperparameters("a", "c")

    assert Some(1, 2, 3).hparams == {"a": 1, "c": 3}
    assert Some(1, 2, 3, ignore="b").hparams == {"a": 1, "c": 3, "ignore": "b"}


def test_unknown_names_are_refused() -> None:
    class Wrong(L.LightningModule):
        def __init__(self, a: int) -> None:
            super().__init__()
            self.save_hyperparameters("b")

    with pytest.raises(MisconfigurationException, match=r"\['b'\].*names among \['a'\]"):
        Wrong(1)


def test_objects_are_refused_with_their_names() -> None:
    class Heavy(L.LightningModule):
        def __init__(self, criterion: nn.Module, path: Path, width: int = 1) -> None:
            super().__init__()
            self.save_hyperparameters()

    with pytest.raises(
        MisconfigurationException,
        match=r"criterion: torch.nn.modules.loss.MSELoss; path: pathlib.*ignore=\['criterion', 'path'\]",
    ):
        Heavy(nn.MSELoss(), Path("a"))


@pytest.mark.parametrize("given", [{"width": 3}, Namespace(width=3), AttributeDict(width=3)])
def test_one_argument_with_all_of_them_is_kept_under_its_name(tmp_path: Path, given: Any) -> None:
    class Configured(Regression):
        def __init__(self, config: Any) -> None:
            super(Regression, self).__init__()
            self.save_hyperparameters(config)
            self.net = nn.Linear(4, 1)  # type: ignore[assignment]
            self.lr = 0.1

    assert Configured(given).hparams.width == 3
    trainer = make_trainer(tmp_path, max_epochs=1)
    trainer.fit(Configured(given), regression_loader())
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    assert Configured.load_from_checkpoint(str(tmp_path / "a.ckpt")).hparams == {"width": 3}


def test_a_model_is_built_again_from_its_checkpoint(tmp_path: Path) -> None:
    model, trainer = Regression(dropout=0.25, lr=0.01, seed=9), make_trainer(tmp_path, max_epochs=1)
    trainer.fit(model, regression_loader())
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    again = Regression.load_from_checkpoint(str(tmp_path / "a.ckpt"))
    assert again.hparams == {"width": 4, "dropout": 0.25, "lr": 0.01, "seed": 9}
    assert_equal_weights(model, again)
    other = Regression.load_from_checkpoint(str(tmp_path / "a.ckpt"), lr=0.5)
    assert (other.lr, other.hparams.lr) == (0.5, 0.5)


def test_missing_arguments_are_named(tmp_path: Path) -> None:
    class Unsaved(L.LightningModule):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.layer = nn.Linear(4, width)

    trainer = make_trainer(tmp_path, max_epochs=1)
    model = Unsaved(1)
    model.configure_optimizers = lambda: None  # type: ignore[method-assign]
    model.training_step = lambda batch, batch_idx: None  # type: ignore[method-assign, misc]
    trainer.fit(model, regression_loader())
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    with pytest.raises(CheckpointError, match=r"Unsaved needs the arguments \['width'\]"):
        Unsaved.load_from_checkpoint(str(tmp_path / "a.ckpt"))
    assert_equal_weights(Unsaved.load_from_checkpoint(str(tmp_path / "a.ckpt"), width=1), model)


def test_changes_to_hparams_reach_the_checkpoint_and_unplain_ones_are_refused(tmp_path: Path) -> None:
    model, trainer = Regression(), make_trainer(tmp_path, max_epochs=1)
    model.hparams.note = "later"
    trainer.fit(model, regression_loader())
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    assert load_checkpoint(tmp_path / "a.ckpt")["hyper_parameters"]["note"] == "later"
    assert "note" not in model.hparams_initial
    model.hparams.note = torch.nn.Identity()
    with pytest.raises(MisconfigurationException, match=r"note: torch.nn"):
        trainer.save_checkpoint(tmp_path / "b.ckpt")


def test_hparams_read_as_attributes() -> None:
    values = AttributeDict(a=1)
    values.b = 2
    assert (values.a, values["b"]) == (1, 2)
    with pytest.raises(AttributeError, match=r"no hyperparameter 'c'; there are \['a', 'b'\]"):
        _ = values.c


def test_data_modules_keep_theirs_too(tmp_path: Path) -> None:
    class Data(L.LightningDataModule):
        def __init__(self, batch_size: int) -> None:
            super().__init__()
            self.save_hyperparameters()

        def train_dataloader(self) -> Any:
            return regression_loader(8, self.hparams.batch_size)

    trainer = make_trainer(tmp_path, max_epochs=1)
    trainer.fit(Regression(), datamodule=Data(2))
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    assert trainer.global_step == 4
    assert Data.load_from_checkpoint(str(tmp_path / "a.ckpt")).hparams == {"batch_size": 2}


def test_hyperparameters_reach_the_loggers(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, max_epochs=1, logger=True)
    trainer.fit(Regression(seed=4), regression_loader())
    assert "seed: 4\n" in (tmp_path / "lightning_logs" / "version_0" / "hparams.yaml").read_text()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("h.yaml", "width: 4\nlr: 0.5\n"),
        ("h.json", '{"width": 4, "lr": 0.5}'),
        ("h.csv", "key,value\nwidth,4\nlr,0.5\n"),
    ],
)
def test_hyperparameters_may_come_from_a_file(tmp_path: Path, name: str, text: str) -> None:
    trainer = make_trainer(tmp_path, max_epochs=1, limit_train_batches=1)
    trainer.fit(Regression(lr=0.25), regression_loader())
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    (tmp_path / name).write_text(text)
    assert Regression.load_from_checkpoint(tmp_path / "a.ckpt").lr == 0.25
    assert Regression.load_from_checkpoint(tmp_path / "a.ckpt", hparams_file=tmp_path / name).lr == 0.5
    with pytest.raises(ValueError, match="unknown ending"):
        Regression.load_from_checkpoint(tmp_path / "a.ckpt", hparams_file="h.txt")
